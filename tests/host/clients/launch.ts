// Log in and launch with generated types: `node launch.js URL USER PASSWORD IMAGE`; prints the session.

import createClient from 'openapi-fetch';
import type { paths } from './v1.js';

declare const process: { argv: string[] };

const [baseUrl, username, password, image_id] = process.argv.slice(2) as [string, string, string, string];
const client = createClient<paths>({ baseUrl, headers: { 'Sec-Fetch-Site': 'same-origin' } });
const { data: me, response, error } = await client.POST('/api/v1/login', { body: { username, password } });
if (!me) throw new Error(error.detail);
const cookie = response.headers.getSetCookie().map((one) => one.split(';')[0]).join('; ');
const launched = await client.POST('/api/v1/sessions', { body: { image_id }, headers: { Cookie: cookie } });
if (!launched.data) throw new Error(launched.error.detail);
console.log(launched.response.status, launched.data.session_id);
