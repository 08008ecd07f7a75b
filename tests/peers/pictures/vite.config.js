// The page is built as a whole, once; what it asks is passed on to the servers of the run.
import { defineConfig } from 'vite';

const passedOn = (target, prefix) => ({ target, rewrite: (path) => path.replace(prefix, '') });

export default defineConfig({
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'globalThis' },
  build: { target: 'esnext', minify: false, chunkSizeWarningLimit: 1e6 },
  publicDir: process.env.PICTURES_PUBLIC ?? false,
  preview: {
    host: '127.0.0.1',
    port: 0,
    proxy: {
      '/prometheus': passedOn(process.env.PROMETHEUS, /^\/prometheus/),
      '/jaeger': passedOn(process.env.JAEGER, /^\/jaeger/),
    },
  },
});
