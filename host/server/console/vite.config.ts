import { defineConfig } from "vite";

// Vite 6: the newest that runs on Debian 12's Node.js 18.
export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // One file of each kind: the page is small, and its policy allows no inline script.
    modulePreload: false,
    // 2.5 kB less after brotli than with esbuild; 0.1 kB of them without what only older browsers need.
    minify: "terser",
    terserOptions: { module: true, ecma: 2020, safari10: false, compress: { passes: 3 } },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:7420", "/openapi.json": "http://127.0.0.1:7420" } },
});
