// Says back what arrived, as Node's own HTTP server sees it: a second opinion beside echo.py.
//
// ANY /mirror  the body, piece by piece, in the framing in which it came
// ANY else     a JSON description of the request
'use strict';

const crypto = require('node:crypto');
const http = require('node:http');

function pairs(raw) {
  const list = [];
  for (let i = 0; i < raw.length; i += 2) list.push([raw[i], raw[i + 1]]);
  return list;
}

function framing(request) {
  if (request.headers['transfer-encoding']) return 'chunked';
  return request.headers['content-length'] ? 'length' : 'none';
}

async function describe(request, response) {
  const digest = crypto.createHash('sha256');
  let bytes = 0;
  for await (const piece of request) {
    digest.update(piece);
    bytes += piece.length;
  }
  const body = JSON.stringify({
    line: `${request.method} ${request.url} HTTP/${request.httpVersion}`,
    method: request.method,
    target: request.url,
    headers: pairs(request.rawHeaders),
    framing: framing(request),
    bytes,
    sha256: digest.digest('hex'),
    trailers: pairs(request.rawTrailers),
  });
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function mirror(request, response) {
  const length = request.headers['content-length'];
  response.writeHead(200, length ? { 'Content-Length': length } : { 'Transfer-Encoding': 'chunked' });
  request.pipe(response);
}

const server = http.createServer((request, response) => {
  if (request.url.startsWith('/mirror')) return mirror(request, response);
  describe(request, response).catch(() => response.destroy());
});
server.requestTimeout = 0;
server.listen(Number(process.env.PORT || 8000), '0.0.0.0', () => console.log('echoing'));
