export function measureSmallPieces(): number { return 0 }
