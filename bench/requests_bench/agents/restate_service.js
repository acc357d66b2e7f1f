// The smallest service of Restate: takes a value, answers at once.
'use strict';

// Debian's Node is older than what the SDK wants.
Promise.withResolvers ??= function withResolvers() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
};

const restate = require('@restatedev/restate-sdk');

const echo = restate.service({ name: 'echo', handlers: { post: async () => 'ok' } });
restate.endpoint().bind(echo).listen(Number(process.env.PORT));
