// Answers at once: what Restate's service in Node does, as a plain HTTP server.
'use strict';

require('node:http')
  .createServer((request, response) => {
    request.resume().on('end', () => response.end('ok'));
  })
  .listen(Number(process.env.PORT || 8000), '0.0.0.0');
