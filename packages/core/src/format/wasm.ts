// The part of WebAssembly's interface that is used here: TypeScript declares it for browsers only.

/** A memory that WebAssembly code and JavaScript share, and that may be sent to other threads. */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer
}

interface WasmNamespace {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => WasmMemory
  readonly Module: new (code: Uint8Array) => object
  readonly Instance: new (module: object, imports: Record<string, Record<string, unknown>>) => { exports: object }
}

export const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: WasmNamespace }

export const WASM_PAGE_BYTES = 64 * 1024
