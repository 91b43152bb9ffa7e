// An OpenID provider on this machine: npm's oidc-provider, with its own pages for logins.
//
// Prints {"url": ...} once it listens, and ends with its standard input. POST /test/rotate gives it another signing key, and
// forgets the one before; logins stay. POST /test/sign answers a token with the claims of its body, signed by the key of now.
// CATALOGS has the URLs of registries whose catalog people log in to, which are one client; CONFORM=1 has the groups at the userinfo
// endpoint alone, as OpenID Connect has it (Core 1.0, section 5.4).
import { createServer } from 'node:http';
import { generateKeyPairSync, sign } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { Provider } from 'oidc-provider';

const GROUPS = { 'ann@example.org': ['mesh-admins', 'people'], 'ben@example.org': ['people'] };
const CATALOGS = (process.env.CATALOGS ?? '').split(',').filter(Boolean);
let keys = 0;
let signing;

// What providers before and after a rotation know of logins.
const known = new Map();
class Shared {
  constructor(kind) {
    this.kind = kind;
  }
  key(id) {
    return `${this.kind}:${id}`;
  }
  async upsert(id, payload) {
    known.set(this.key(id), payload);
  }
  async find(id) {
    return known.get(this.key(id));
  }
  async findByUid(uid) {
    return this.first((each) => each.uid === uid);
  }
  async findByUserCode(code) {
    return this.first((each) => each.userCode === code);
  }
  first(fits) {
    return [...known].find(([key, each]) => key.startsWith(`${this.kind}:`) && fits(each))?.[1];
  }
  async consume(id) {
    known.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }
  async destroy(id) {
    known.delete(this.key(id));
  }
  async revokeByGrantId(grant) {
    [...known].filter(([, each]) => each.grantId === grant).forEach(([key]) => known.delete(key));
  }
}

function configuration() {
  keys += 1;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  signing = privateKey;
  return {
    adapter: Shared,
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: `key-${keys}`, use: 'sig', alg: 'RS256' }] },
    clients: [
      {
        client_id: 'meshport',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        redirect_uris: ['http://127.0.0.1/callback'],
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      },
      {
        client_id: 'meshport-catalog',
        client_secret: process.env.SERVICE_SECRET,
        redirect_uris: ['http://127.0.0.1/none', ...CATALOGS.map((url) => `${url}/catalog/login/callback`)],
        post_logout_redirect_uris: CATALOGS.map((url) => `${url}/catalog/login`),
      },
      {
        client_id: 'shop.orders',
        client_secret: process.env.SERVICE_SECRET,
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials'],
      },
    ],
    scopes: ['openid', 'offline_access'],
    claims: { openid: ['sub', 'groups'] },
    conformIdTokenClaims: process.env.CONFORM === '1',
    cookies: { keys: ['a cookie of a test'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, groups: GROUPS[id] ?? [] }) }),
    extraTokenClaims: (_, token) => ({ groups: GROUPS[token.accountId] ?? [] }),
    rotateRefreshToken: true,
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_, client) => (client.clientId === 'shop.orders' ? 'https://kafka.example.com' : undefined),
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope: '',
          audience: resource,
          accessTokenTTL: 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  };
}

function signed(claims) {
  const header = JSON.stringify({ alg: 'RS256', typ: 'at+jwt', kid: `key-${keys}` });
  const content = [header, claims].map((part) => Buffer.from(part).toString('base64url')).join('.');
  return `${content}.${sign('sha256', Buffer.from(content), signing).toString('base64url')}`;
}

let handle;
const server = createServer(async (request, response) => {
  if (request.method === 'POST' && request.url === '/test/rotate') {
    handle = new Provider(url(), configuration()).callback();
    response.end();
  } else if (request.method === 'POST' && request.url === '/test/sign') {
    response.end(signed(await text(request)));
  } else {
    handle(request, response);
  }
});
const url = () => `http://127.0.0.1:${server.address().port}`;
server.listen(0, '127.0.0.1', () => {
  handle = new Provider(url(), configuration()).callback();
  console.log(JSON.stringify({ url: url() }));
});
process.stdin.resume().on('end', () => process.exit());
