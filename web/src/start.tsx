import 'virtual:mantine.css';
import './theme/fonts.css';
import './theme/tokens.css';
import './theme/mantine.css';
import './styles.css';
import { i18n } from '@lingui/core';
import { I18nProvider } from '@lingui/react';
import { DirectionProvider, MantineProvider } from '@mantine/core';
import { QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { BrowserRouter } from 'react-router';
import { isLoggedOut, retryTemporary } from './api/client';
import { App } from './app/App';
import { ErrorBoundary } from './app/ErrorBoundary';
import { Hints } from './components/Hints';
import { watchBack } from './components/leaving';
import { Notices } from './components/Notices';
import { STYLE_NONCE } from './theme/nonce';
import { cssVariables, theme } from './theme/theme';

// Events cause updates. The interval is for changes without events (last reported) and for lost events.
const LOOK_AGAIN_MS = 5000;

const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, query) => {
      if (isLoggedOut(error) && query.queryKey[0] !== 'me') void queries.invalidateQueries({ queryKey: ['me'] });
    },
  }),
  defaultOptions: {
    mutations: { networkMode: 'always' },
    queries: {
      networkMode: 'always', // the server may be on this machine and need no network
      refetchInterval: LOOK_AGAIN_MS,
      retry: retryTemporary,
      retryDelay: 500,
    },
  },
});

watchBack();
const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');
createRoot(root).render(
  <StrictMode>
    <I18nProvider i18n={i18n}>
      <DirectionProvider>
        <MantineProvider
          theme={theme}
          cssVariablesResolver={cssVariables}
          defaultColorScheme="auto"
          getStyleNonce={() => STYLE_NONCE}
          deduplicateCssVariables={false}
        >
          <Hints />
          <QueryClientProvider client={queries}>
            <BrowserRouter>
              <Notices />
              <ErrorBoundary>
                <App />
              </ErrorBoundary>
            </BrowserRouter>
          </QueryClientProvider>
        </MantineProvider>
      </DirectionProvider>
    </I18nProvider>
  </StrictMode>,
);
