/** The memory of a browser's GPU, in which placed tensors lie. The part of WebGPU's interface that this needs is declared here. */
import type { Tensor, TensorConstructor } from 'onnxruntime-common';
import { PerformerError } from '../base/errors.js';
import type { DeviceMemory } from './ort.js';

interface Buffer {
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
  unmap(): void;
  destroy(): void;
}

interface CommandEncoder {
  copyBufferToBuffer(from: Buffer, fromOffset: number, to: Buffer, toOffset: number, size: number): void;
  finish(): unknown;
}

export interface GpuDevice {
  readonly queue: {
    writeBuffer(buffer: Buffer, offset: number, data: ArrayBufferView): void;
    submit(commands: readonly unknown[]): void;
  };
  createBuffer(descriptor: { readonly size: number; readonly usage: number }): Buffer;
  createCommandEncoder(): CommandEncoder;
}

interface Adapter {
  readonly features: Iterable<string>;
  readonly limits: object;
  requestDevice(descriptor: {
    readonly requiredFeatures: readonly string[];
    readonly requiredLimits: Readonly<Record<string, number>>;
  }): Promise<GpuDevice>;
}

/** Features that ONNX Runtime's shaders use where they are there. */
const usefulFeatures = ['shader-f16', 'subgroups'];

/** The browser's GPU with the widest limits that it allows. Throws DEVICE where there is none. */
export async function requestGpu(): Promise<GpuDevice> {
  const { navigator } = globalThis as { navigator?: { gpu?: { requestAdapter(): Promise<Adapter | null> } } };
  const gpu = navigator?.gpu;
  const adapter = await gpu?.requestAdapter();
  if (adapter === undefined || adapter === null) {
    const got = gpu === undefined ? 'none' : 'one without a usable GPU';
    throw new PerformerError(
      'DEVICE',
      `webGpuEngine: expected WebGPU, got ${got}. Use webEngine, which computes on the processor.`,
    );
  }
  const requiredLimits: Record<string, number> = {};
  // The limits are getters of the prototype.
  for (const name in adapter.limits) requiredLimits[name] = (adapter.limits as Record<string, number>)[name] as number;
  const has = new Set(adapter.features);
  return adapter.requestDevice({ requiredFeatures: usefulFeatures.filter((name) => has.has(name)), requiredLimits });
}

/** Flags of GPUBufferUsage and GPUMapMode. */
const usage = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, storage: 0x80 };
const mapRead = 0x1;

/** ONNX Runtime reads and writes in units of 16 bytes. */
function roundedSize(bytes: number): number {
  return Math.max(16, Math.ceil(bytes / 16) * 16);
}

export function gpuMemory(device: GpuDevice, tensorClass: TensorConstructor): DeviceMemory {
  return {
    place({ dtype, shape, data }) {
      const size = roundedSize(data.byteLength);
      const buffer = device.createBuffer({ size, usage: usage.storage | usage.copySource | usage.copyTarget });
      // A write needs whole words: bytes of masks are padded.
      const bytes = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
      bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      device.queue.writeBuffer(buffer, 0, bytes);
      const dispose = () => buffer.destroy();
      return tensorClass.fromGpuBuffer(buffer as never, { dataType: dtype as never, dims: shape, dispose }) as Tensor;
    },
    async fetch(tensor, byteLength) {
      const size = roundedSize(byteLength);
      const staging = device.createBuffer({ size, usage: usage.mapRead | usage.copyTarget });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(tensor.gpuBuffer as unknown as Buffer, 0, staging, 0, size);
      device.queue.submit([encoder.finish()]);
      try {
        await staging.mapAsync(mapRead);
        return staging.getMappedRange().slice(0, byteLength);
      } finally {
        staging.destroy();
      }
    },
  };
}
