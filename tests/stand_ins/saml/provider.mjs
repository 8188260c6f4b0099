// A SAML identity provider for tests: the package samlp, whose form any user name passes.
//
// The configuration is the first argument as JSON: {keys: [{key, certificate}, …], accounts}. The address is the first line
// of output; the entity ID is ADDRESS/idp. An account is {id, format, attributes}, by user name. POST /control with
// {accounts, service, rotate, encrypt, signResponse, forget} changes the accounts, the registered service {certificate, callback,
// logOut}, the signing key and the form of
// the responses, or deletes the log-ins.
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import samlp from 'samlp';
import SessionParticipants from 'samlp/lib/sessionParticipants/index.js';

const PERSISTENT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent';
const REDIRECT = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect';
const config = JSON.parse(process.argv[2]);
const state = { accounts: config.accounts ?? {}, keys: config.keys, service: null, encrypt: false, signResponse: false };

const server = createServer();
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const address = `http://127.0.0.1:${server.address().port}`;
const issuer = `${address}/idp`;
const sessions = new SessionParticipants([]);
const flows = new Map();
const store = {
  save(_, flow, done) { const id = randomUUID(); flows.set(id, flow); done(null, id); },
  load(_, id, options, done) { (done ?? options)(null, flows.get(id)); },
  update(_, id, flow, done) { flows.set(id, flow); done(null, id); },
};

const own = () => ({ issuer, key: state.keys[0].key, cert: state.keys[0].certificate });

function logIn(request, response, next, name) {
  const service = state.service;
  if (name === 'deny') {
    const error = { code: 'urn:oasis:names:tc:SAML:2.0:status:AuthnFailed', description: 'The user refused.' };
    const options = { ...own(), error, RelayState: request.query.RelayState, destination: service.callback };
    return samlp.sendError({ ...options, getPostURL: (_, done) => done(null, service.callback) })(request, response, next);
  }
  const account = state.accounts[name] ?? {};
  const id = account.id ?? name, format = account.format ?? PERSISTENT, sessionIndex = `_${randomUUID()}`;
  sessions._participants.push({
    serviceProviderId: service.entityId,
    nameId: id,
    nameIdFormat: format,
    sessionIndex,
    serviceProviderLogoutURL: service.logOut,
    cert: service.certificate,
  });
  return samlp.auth({
    ...own(),
    signingCert: service.certificate,
    destination: service.callback,
    recipient: service.callback,
    sessionIndex,
    lifetimeInSeconds: 300,
    signResponse: state.signResponse,
    ...(state.encrypt && { encryptionCert: service.certificate, encryptionPublicKey: service.publicKey }),
    getPostURL: (_audience, _request, _http, done) => done(null, service.callback),
    getUserFromRequest: () => ({ id }),
    profileMapper: () => ({
      getClaims: () => account.attributes ?? {},
      getNameIdentifier: () => ({ nameIdentifier: id, nameIdentifierFormat: format }),
    }),
  })(request, response, next);
}

async function readBody(request) {
  let body = '';
  for await (const part of request) body += part;
  return body;
}

/** Give the request and the response the functions of Express that samlp uses. */
function adapt(request, response) {
  const url = new URL(request.url, address);
  Object.assign(request, { query: Object.fromEntries(url.searchParams), body: {}, originalUrl: request.url, protocol: 'http' });
  response.set = (name, value) => response.setHeader(name, value);
  response.send = (content) => response.end(String(content));
  response.redirect = (target) => { response.statusCode = 302; response.setHeader('location', target); response.end(); };
  return url.pathname;
}

server.on('request', async (request, response) => {
  const fail = (error) => { response.statusCode = 500; response.end(String(error?.stack ?? error)); };
  try {
    const path = adapt(request, response);
    if (path === '/control') {
      const change = JSON.parse(await readBody(request));
      if (change.forget) sessions._participants.length = 0;
      if (change.rotate) state.keys.push(state.keys.shift());
      if (change.accounts) Object.assign(state.accounts, change.accounts);
      for (const name of ['service', 'encrypt', 'signResponse']) if (name in change) state[name] = change[name];
      return response.end('{}');
    }
    if (path === '/metadata') {
      const paths = { redirectEndpointPath: '/login', postEndpointPath: '/login', logoutEndpointPaths: { redirect: '/logout' } };
      return samlp.metadata({ ...own(), ...paths })(request, response);
    }
    if (path === '/logout') {
      return samlp.logout({
        ...own(), deflate: true, protocolBinding: REDIRECT, sessionParticipants: sessions, store,
        signatureAlgorithm: 'rsa-sha256', digestAlgorithm: 'sha256',
      })(request, response, fail);
    }
    const name = request.method === 'POST' ? new URLSearchParams(await readBody(request)).get('login') : null;
    if (name) {
      request.method = 'GET';
      return logIn(request, response, fail, name);
    }
    response.setHeader('content-type', 'text/html');
    return response.end('<form method=post><input name=login aria-label="User name" autofocus><button>Continue</button></form>');
  } catch (error) {
    return fail(error);
  }
});
console.log(address);
