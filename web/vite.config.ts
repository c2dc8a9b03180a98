import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Writes are refused unless they come under the server's own name: Host must stay as the browser sent it.
const running = { target: "http://127.0.0.1:8787", changeOrigin: false };

// `npm run dev` talks to a server started beside it: cryoloom serve DIR --port 8787
export default defineConfig({
  plugins: [react()],
  server: { proxy: { "/api": running, "/login": running } },
  build: { target: "es2022", reportCompressedSize: false, modulePreload: { polyfill: false } },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
