// effects.py in Node: POST /do/KEY?ms=20 has its effect once for each Gantry-Request-Id, GET /log.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const LOG = path.join(process.env.STATE_DIR || '/workspace', 'effects.txt');

// One write(2) to a file opened for append: whole, or not there. hrtime is the monotonic clock of the host.
function note(word, key, attempt, id) {
  fs.appendFileSync(LOG, `${word} ${key} ${attempt} ${id} ${(Number(process.hrtime.bigint()) / 1e9).toFixed(6)}\n`);
}

function readLog() {
  if (!fs.existsSync(LOG)) return [];
  return fs.readFileSync(LOG, 'utf8').split('\n').filter(Boolean).map((line) => line.split(' '));
}

function answer(response, value) {
  const body = JSON.stringify(value);
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

const done = new Set(readLog().filter((line) => line[0] === 'effect').map((line) => line[3]));

async function handle(request, response) {
  let bytes = 0;
  for await (const piece of request) bytes += piece.length;
  const url = new URL(request.url, 'http://agent');
  if (request.method === 'GET') return answer(response, url.pathname === '/log' ? readLog() : {});
  const key = url.pathname.split('/')[2];
  const { 'gantry-attempt': attempt = '0', 'gantry-request-id': id = '-' } = request.headers;
  note('start', key, attempt, id);
  await sleep(Number(url.searchParams.get('ms') || 0));
  if (!done.has(id)) {
    note('effect', key, attempt, id);
    done.add(id);
  }
  note('end', key, attempt, id);
  return answer(response, { key, bytes, attempt: Number(attempt) });
}

http
  .createServer((request, response) => handle(request, response).catch(() => response.destroy()))
  .listen(Number(process.env.PORT || 8000), '0.0.0.0');
