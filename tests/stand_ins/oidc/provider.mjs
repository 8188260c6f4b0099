// An OpenID Connect provider for tests: the package oidc-provider, whose form any user name passes.
//
// The configuration is the first argument as JSON: {clients, accounts, ttl}. ISSUER in it stands for the address, which is
// the first line of output. POST /control with {accounts, rotate, revoke, tokenStatus} changes the accounts (claims by user
// name), replaces the signing key, deletes all refresh tokens, or lets the token endpoint fail. Its answer has the log-out
// tokens that were sent to ISSUER/received.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

const state = { accounts: {}, tokenStatus: 0, received: [] };

const newKey = () => ({
  ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }),
  kid: randomUUID(),
  use: 'sig',
  alg: 'RS256',
});

const server = createServer();
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;
const config = JSON.parse(process.argv[2].replaceAll('ISSUER', issuer));
Object.assign(state.accounts, config.accounts);

/** oidc-provider cannot change its keys while it runs, so a new provider replaces the old one; its grants are kept. */
const store = new Map();
class Adapter {
  constructor(name) { this.name = name; }
  key(id) { return `${this.name}:${id}`; }
  async upsert(id, payload) { store.set(this.key(id), payload); }
  async find(id) { return store.get(this.key(id)); }
  async findByUid(uid) { return [...store.entries()].find(([key, one]) => key.startsWith(`${this.name}:`) && one.uid === uid)?.[1]; }
  async findByUserCode() { return undefined; }
  async destroy(id) { store.delete(this.key(id)); }
  async consume(id) { store.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async revokeByGrantId(grantId) { for (const [key, one] of store) if (one.grantId === grantId) store.delete(key); }
}

function create(keys) {
  const provider = new Provider(issuer, {
    adapter: Adapter,
    clients: config.clients,
    jwks: { keys },
    cookies: { keys: ['only for tests'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...state.accounts[id] }) }),
    claims: {
      openid: ['sub'],
      profile: ['preferred_username', 'given_name', 'family_name', 'groups', 'realm_access'],
      email: ['email', 'email_verified'],
    },
    conformIdTokenClaims: config.conformIdTokenClaims ?? true,
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    issueRefreshToken: async (_, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('openid'),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: () => true },
    fetch: (url, { method, headers, body }) => fetch(url, { method, headers, body }), // also to addresses of this host
    rotateRefreshToken: true,
    ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, Interaction: 600, Session: 6000, Grant: 6000, RefreshToken: 6000, ...config.ttl },
  });
  return provider;
}

let keys = [newKey()];
let provider = create(keys);

async function readBody(request) {
  let body = '';
  for await (const part of request) body += part;
  return body;
}

async function control(request, response) {
  const change = JSON.parse(await readBody(request));
  if (change.accounts) Object.assign(state.accounts, change.accounts);
  if ('tokenStatus' in change) state.tokenStatus = change.tokenStatus;
  if (change.rotate) provider = create((keys = [newKey()]));
  if (change.revoke) for (const key of [...store.keys()]) if (key.startsWith('RefreshToken:')) store.delete(key);
  response.end(JSON.stringify({ received: state.received }));
}

/** Anyone may log in: the body of the form is `login=NAME`, or `deny=1`. */
async function interact(request, response) {
  const { prompt, params, grantId } = await provider.interactionDetails(request, response);
  const form = new URLSearchParams(request.method === 'POST' ? await readBody(request) : '');
  if (form.get('deny')) {
    const result = { error: 'access_denied', error_description: 'The user refused.' };
    return provider.interactionFinished(request, response, result);
  }
  if (prompt.name === 'login' && !form.get('login')) {
    response.setHeader('content-type', 'text/html');
    return response.end('<form method=post><input name=login aria-label="User name" autofocus><button>Continue</button></form>');
  }
  const accountId = form.get('login') ?? (await provider.interactionDetails(request, response)).session.accountId;
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { login: { accountId }, consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

server.on('request', async (request, response) => {
  const path = request.url.split('?')[0];
  if (path === '/control') return control(request, response);
  if (path === '/received') {
    state.received.push(new URLSearchParams(await readBody(request)).get('logout_token'));
    return response.end();
  }
  if (path === '/token' && state.tokenStatus) {
    response.statusCode = state.tokenStatus;
    return response.end('{}');
  }
  try {
    if (path.startsWith('/interaction/')) return await interact(request, response);
    return await provider.callback()(request, response);
  } catch (error) {
    response.statusCode = 500;
    return response.end(String(error.stack));
  }
});
console.log(issuer);
