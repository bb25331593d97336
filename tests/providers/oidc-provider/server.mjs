// Runs oidc-provider on loopback over HTTPS, as the file given says:
//
// {
//   "issuer": "https://127.0.0.1:PORT",
//   "certificate": "PATH", "key": "PATH",
//   "clients": [{"id": "…", "algorithm": "RS256 or ES256"}],
//   "redirectUri": "http://127.0.0.1/…",
//   "accounts": {"LOGIN": {claims of the ID token}},
//   "ttl": {"IdToken": SECONDS, …}, the provider's own lives of tokens unless given
// }
//
// Prints a line for each request at the token endpoint: "GRANT_TYPE granted" or "GRANT_TYPE refused".
//
// Every start makes new keys. Any password will do: oidc-provider leaves accounts to its user, and its own login form,
// which is the one in use here, asks for none that it could check.

import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import { Provider } from 'oidc-provider';

const { issuer, certificate, key, clients, redirectUri, accounts, ttl } = JSON.parse(
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
    grant_types: [
      'authorization_code',
      'refresh_token',
      'urn:ietf:params:oauth:grant-type:device_code',
    ],
    id_token_signed_response_alg: algorithm,
    redirect_uris: [redirectUri],
    token_endpoint_auth_method: 'none',
  })),
  // Kubernetes sees the ID token only: the claims of a scope must stand in it, not in an answer of the userinfo endpoint.
  conformIdTokenClaims: false,
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  features: { deviceFlow: { enabled: true }, revocation: { enabled: true } },
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
  ...(ttl && { ttl }),
});

for (const [event, what] of [['grant.success', 'granted'], ['grant.error', 'refused']]) {
  provider.on(event, (context) => console.log(context.oidc.params.grant_type, what));
}

createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback()).listen(
  Number(new URL(issuer).port),
  '127.0.0.1',
);
