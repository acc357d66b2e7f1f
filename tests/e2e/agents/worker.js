// The counting part of worker.py in Node: POST /do/KEY?ms=20, GET /log, GET /self.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const LOG = path.join(process.env.STATE_DIR || '/workspace', 'log.txt');
const born = Date.now() / 1000;
let served = 0;

// One write(2) to a file opened for append: whole, or not there.
function note(word, key, request) {
  const { 'gantry-attempt': attempt = '-', 'gantry-request-id': id = '-' } = request.headers;
  fs.appendFileSync(LOG, `${word} ${key} ${attempt} ${id}\n`);
}

function answer(response, value) {
  const body = JSON.stringify(value);
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

async function handle(request, response) {
  let bytes = 0;
  for await (const piece of request) bytes += piece.length;
  const url = new URL(request.url, 'http://agent');
  if (request.method === 'GET' && url.pathname === '/log') {
    const text = fs.existsSync(LOG) ? fs.readFileSync(LOG, 'utf8') : '';
    return answer(response, text.split('\n').filter(Boolean).map((line) => line.split(' ')));
  }
  if (request.method === 'GET') return answer(response, { pid: process.pid, born, served });
  const key = url.pathname.split('/')[2];
  note('start', key, request);
  await sleep(Number(url.searchParams.get('ms') || 0));
  note('end', key, request);
  served += 1;
  return answer(response, { key, bytes, attempt: request.headers['gantry-attempt'], served });
}

http
  .createServer((request, response) => handle(request, response).catch(() => response.destroy()))
  .listen(Number(process.env.PORT || 8000), '0.0.0.0', () => console.log('working'));
