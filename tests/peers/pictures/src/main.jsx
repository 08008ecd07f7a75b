// What the address asks for: ?dashboard=NAME or ?trace=ID, of `from` to `to` in Unix seconds.
import React from 'react';
import { createRoot } from 'react-dom/client';
import { createTheme } from '@grafana/data';
import { GlobalStyles, ThemeContext } from '@grafana/ui';
import { Dashboard } from './dashboard.jsx';
import { answers, choices, panelsOf } from './prometheus.js';
import { Trace } from './trace.jsx';

const asked = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: 'dark' } });
// How long the last panel may take to settle: plots draw in animation frames, which say nothing when they are done.
const SETTLE_MS = 1500;

async function content() {
  if (asked.has('trace')) {
    const found = await (await fetch(`/jaeger/api/traces/${asked.get('trace')}`)).json();
    return <Trace spans={found.data[0]} theme={theme} />;
  }
  const dashboard = await (await fetch(`/dashboards/${asked.get('dashboard')}.json`)).json();
  const time = { from: Number(asked.get('from')), to: Number(asked.get('to')) };
  const panels = panelsOf(dashboard);
  const data = await Promise.all(panels.map((panel) => answers(panel, choices(dashboard), time)));
  return <Dashboard dashboard={dashboard} panels={panels} data={data} time={time} theme={theme} />;
}

const drawn = await content();
createRoot(document.getElementById('root')).render(
  <ThemeContext.Provider value={theme}><GlobalStyles />{drawn}</ThemeContext.Provider>,
);
setTimeout(() => { document.title = 'drawn'; }, SETTLE_MS);
