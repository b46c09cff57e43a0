export function heapOfSends(): number { return 0 }
