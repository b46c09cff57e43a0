import type { Durability } from '@walrus-log/actors'

// Numbers as people read them.

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`
}

/** Three digits, but all those before the point. */
export function decimal(value: number): string {
  if (value >= 100) return count(value)
  return value.toFixed(value >= 10 ? 1 : 2)
}

export function seconds(value: number): string {
  return `${value >= 10 ? count(value) : value.toFixed(2)} s`
}

export function timeLeft(value: number): string {
  if (value < 100) return `${Math.ceil(value)} s`
  const minutes = Math.ceil(value / 60)
  return minutes < 100 ? `${minutes} min` : `${decimal(value / 3600)} h`
}

export function durabilityText(durability: Durability): string {
  return typeof durability === 'string' ? durability : `synced every ${durability.everyMs} ms`
}
