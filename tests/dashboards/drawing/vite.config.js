import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  plugins: [react()],
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}' },
  build: { chunkSizeWarningLimit: 20000 },
});
