import { expect, test } from 'vitest';
import { clientOf } from '../src/components/userAgent';

const KIT = 'AppleWebKit/537.36 (KHTML, like Gecko)';

test.each([
  [`Mozilla/5.0 (X11; Linux x86_64) ${KIT} Chrome/156.0.0.0 Safari/537.36`, 'Chrome 156', 'Linux'],
  [
    `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${KIT} Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0`,
    'Edge 156',
    'Windows',
  ],
  ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0', 'Firefox 145', 'macOS'],
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1',
    'Safari 26',
    'iPhone',
  ],
  [`Mozilla/5.0 (Linux; Android 16) ${KIT} Chrome/156.0.0.0 Mobile Safari/537.36`, 'Chrome 156', 'Android'],
  ['curl/8.14.1', 'curl/8.14.1', ''],
  ['', '', ''],
])('the browser of %s', (userAgent, program, system) => expect(clientOf(userAgent)).toEqual({ program, system }));
