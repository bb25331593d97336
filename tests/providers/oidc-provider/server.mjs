// Runs oidc-provider on loopback over HTTPS, as the file given says:
//
// {
//   "issuer": "https://127.0.0.1:PORT",
//   "certificate": "PATH", "key": "PATH",
//   "clients": [{"id": "…", "algorithm": "RS256 or ES256"}],
//   "redirectUri": "http://127.0.0.1/…",
//   "accounts": {"LOGIN": {claims of the ID token}}
// }
//
// Every start makes new keys. Any password will do: oidc-provider leaves accounts to its user, and its own login form,
// which is the one in use here, asks for none that it could check.

import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import { Provider } from 'oidc-provider';

const { issuer, certificate, key, clients, redirectUri, accounts } = JSON.parse(
  readFileSync(process.argv[2], 'utf8'),
);

const signingKey = (alg, type, options) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  alg,
  kid: randomUUID(),
  use: 'sig',
});

const provider = new Provider(issuer, {
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  clients: clients.map(({ id, algorithm }) => ({
    application_type: 'native',
    client_id: id,
    id_token_signed_response_alg: algorithm,
    redirect_uris: [redirectUri],
    token_endpoint_auth_method: 'none',
  })),
  // Kubernetes sees the ID token only: the claims of a scope must stand in it, not in an answer of the userinfo endpoint.
  conformIdTokenClaims: false,
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  findAccount: (_context, id) =>
    Object.hasOwn(accounts, id) && {
      accountId: id,
      claims: () => ({ sub: id, ...accounts[id] }),
    },
  jwks: {
    keys: [
      signingKey('RS256', 'rsa', { modulusLength: 2048 }),
      signingKey('ES256', 'ec', { namedCurve: 'P-256' }),
    ],
  },
  pkce: { required: () => true },
});

createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback()).listen(
  Number(new URL(issuer).port),
  '127.0.0.1',
);
