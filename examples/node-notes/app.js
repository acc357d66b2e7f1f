// Keeps notes, slowly. A plain HTTP server on Node's own modules: it knows nothing of Gantry.
//
// POST /notes/ID   takes 200 ms, writes ID to a file, answers {"note": ID, "count": how many}
// GET  /notes      answers {"count": different ids, "lines": ids written, "items": [...]}
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const file = path.join(process.env.STATE_DIR || '/workspace', 'notes.txt');
const workMs = Number(process.env.WORK_MS || 200);

function readNotes() {
  try {
    return fs.readFileSync(file, 'utf8').split('\n').filter(Boolean);
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

// Returns only when the id is on disk: a note that was answered is never forgotten.
function writeNote(id) {
  const fd = fs.openSync(file, 'a');
  fs.writeSync(fd, id + '\n');
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  return new Set(readNotes()).size;
}

function answer(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

async function handle(request, response) {
  for await (const chunk of request) void chunk;
  if (request.method === 'GET' && request.url === '/notes') {
    const notes = readNotes();
    const items = [...new Set(notes)].sort();
    return answer(response, 200, { count: items.length, lines: notes.length, items });
  }
  if (request.method === 'POST' && request.url.startsWith('/notes/')) {
    const note = request.url.slice('/notes/'.length);
    await sleep(workMs);
    return answer(response, 200, { note, count: writeNote(note) });
  }
  return answer(response, 404, { error: 'try POST /notes/ID or GET /notes' });
}

const server = http.createServer((request, response) => {
  handle(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) answer(response, 500, { error: 'see the log' });
    else response.destroy();
  });
});

const port = Number(process.env.PORT || 8000);
server.listen(port, '0.0.0.0', () => console.log(`keeping notes on port ${port}, ${new Set(readNotes()).size} so far`));
