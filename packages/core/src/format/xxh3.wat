;; XXH3 of 64 bits (seed 0, default secret) as specified by Yann Collet's xxHash, version 0.8: the low 32 bits are what a
;; batch carries. WebAssembly, because its 128-bit vectors do on every platform what JavaScript cannot: some 20 bytes a
;; nanosecond, over memory that it shares with JavaScript and that nothing has to be copied into.
;;
;; `npm run wasm` turns this file into xxh3-wasm.ts; a test holds the two together.
(module
  (import "walrus" "memory" (memory 1 65536 shared))
  ;; Where in that memory the 192 bytes of the secret lie. Every instance writes them there, always the same.
  (import "walrus" "secretAt" (global $secret i32))
  (data (global.get $secret)
    "\b8\fe\6c\39\23\a4\4b\be\7c\01\81\2c\f7\21\ad\1c"
    "\de\d4\6d\e9\83\90\97\db\72\40\a4\a4\b7\b3\67\1f"
    "\cb\79\e6\4e\cc\c0\e5\78\82\5a\d0\7d\cc\ff\72\21"
    "\b8\08\46\74\f7\43\24\8e\e0\35\90\e6\81\3a\26\4c"
    "\3c\28\52\bb\91\c3\00\cb\88\d0\65\8b\1b\53\2e\a3"
    "\71\64\48\97\a2\0d\f9\4e\38\19\ef\46\a9\de\ac\d8"
    "\a8\fa\76\3f\e3\9c\34\3f\f9\dc\bb\c7\c7\0b\4f\1d"
    "\8a\51\e0\4b\cd\b4\59\31\c8\9f\7e\c9\d9\78\73\64"
    "\ea\c5\ac\83\34\d3\eb\c3\c5\81\a0\ff\fa\13\63\eb"
    "\17\0d\dd\51\b7\f0\da\49\d3\16\55\26\29\d4\68\9e"
    "\2b\16\be\58\7d\47\a1\fc\8f\f8\b8\d1\7a\d0\31\ce"
    "\45\cb\3a\8f\95\16\04\28\af\d7\fb\ca\bb\4b\40\7e")

  ;; The eight accumulators, between calls.
  (global $acc0 (mut v128) (v128.const i64x2 0 0))
  (global $acc1 (mut v128) (v128.const i64x2 0 0))
  (global $acc2 (mut v128) (v128.const i64x2 0 0))
  (global $acc3 (mut v128) (v128.const i64x2 0 0))

  ;; The 128-bit product of two 64-bit numbers, its halves combined by exclusive or.
  (func $fold (param $a i64) (param $b i64) (result i64)
    (local $aHigh i64) (local $bHigh i64) (local $low i64) (local $middle i64) (local $cross i64)
    (local.set $aHigh (i64.shr_u (local.get $a) (i64.const 32)))
    (local.set $bHigh (i64.shr_u (local.get $b) (i64.const 32)))
    (local.set $a (i64.and (local.get $a) (i64.const 0xffffffff)))
    (local.set $b (i64.and (local.get $b) (i64.const 0xffffffff)))
    (local.set $low (i64.mul (local.get $a) (local.get $b)))
    (local.set $middle (i64.mul (local.get $aHigh) (local.get $b)))
    (local.set $cross
      (i64.add
        (i64.add (i64.shr_u (local.get $low) (i64.const 32)) (i64.and (local.get $middle) (i64.const 0xffffffff)))
        (i64.mul (local.get $a) (local.get $bHigh))))
    (i64.xor
      (i64.or (i64.shl (local.get $cross) (i64.const 32)) (i64.and (local.get $low) (i64.const 0xffffffff)))
      (i64.add
        (i64.add (i64.shr_u (local.get $middle) (i64.const 32)) (i64.shr_u (local.get $cross) (i64.const 32)))
        (i64.mul (local.get $aHigh) (local.get $bHigh)))))

  (func $avalanche (param $hash i64) (result i64)
    (local.set $hash
      (i64.mul
        (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 37)))
        (i64.const 0x165667919E3779F9)))
    (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 32))))

  ;; Sixteen bytes at $at, under sixteen of the secret.
  (func $mix (param $at i32) (param $key i32) (result i64)
    (local.set $key (i32.add (global.get $secret) (local.get $key)))
    (call $fold
      (i64.xor (i64.load (local.get $at)) (i64.load (local.get $key)))
      (i64.xor (i64.load offset=8 (local.get $at)) (i64.load offset=8 (local.get $key)))))

  ;; 17 to 128 bytes.
  (func $hashTo128 (param $at i32) (param $length i32) (result i64)
    (local $end i32) (local $sum i64)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (local.set $sum (i64.mul (i64.extend_i32_u (local.get $length)) (i64.const 0x9E3779B185EBCA87)))
    (if (i32.gt_u (local.get $length) (i32.const 32)) (then
      (if (i32.gt_u (local.get $length) (i32.const 64)) (then
        (if (i32.gt_u (local.get $length) (i32.const 96)) (then
          (local.set $sum (i64.add (local.get $sum) (call $mix (i32.add (local.get $at) (i32.const 48)) (i32.const 96))))
          (local.set $sum (i64.add (local.get $sum) (call $mix (i32.sub (local.get $end) (i32.const 64)) (i32.const 112))))))
        (local.set $sum (i64.add (local.get $sum) (call $mix (i32.add (local.get $at) (i32.const 32)) (i32.const 64))))
        (local.set $sum (i64.add (local.get $sum) (call $mix (i32.sub (local.get $end) (i32.const 48)) (i32.const 80))))))
      (local.set $sum (i64.add (local.get $sum) (call $mix (i32.add (local.get $at) (i32.const 16)) (i32.const 32))))
      (local.set $sum (i64.add (local.get $sum) (call $mix (i32.sub (local.get $end) (i32.const 32)) (i32.const 48))))))
    (local.set $sum (i64.add (local.get $sum) (call $mix (local.get $at) (i32.const 0))))
    (local.set $sum (i64.add (local.get $sum) (call $mix (i32.sub (local.get $end) (i32.const 16)) (i32.const 16))))
    (call $avalanche (local.get $sum)))

  ;; 129 to 240 bytes.
  (func $hashTo240 (param $at i32) (param $length i32) (result i64)
    (local $sum i64) (local $from i32) (local $to i32)
    (local.set $sum (i64.mul (i64.extend_i32_u (local.get $length)) (i64.const 0x9E3779B185EBCA87)))
    (loop $first
      (local.set $sum (i64.add (local.get $sum) (call $mix (i32.add (local.get $at) (local.get $from)) (local.get $from))))
      (local.set $from (i32.add (local.get $from) (i32.const 16)))
      (br_if $first (i32.lt_u (local.get $from) (i32.const 128))))
    (local.set $sum (call $avalanche (local.get $sum)))
    (local.set $to (i32.and (local.get $length) (i32.const -16)))
    (block $done
      (loop $second
        (br_if $done (i32.ge_u (local.get $from) (local.get $to)))
        (local.set $sum
          (i64.add (local.get $sum)
            (call $mix (i32.add (local.get $at) (local.get $from)) (i32.sub (local.get $from) (i32.const 125)))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (br $second)))
    (local.set $sum
      (i64.add (local.get $sum)
        (call $mix (i32.sub (i32.add (local.get $at) (local.get $length)) (i32.const 16)) (i32.const 119))))
    (call $avalanche (local.get $sum)))

  ;; Begins a hash of more than 240 bytes.
  (func $begin (export "begin")
    (global.set $acc0 (v128.const i64x2 0xC2B2AE3D 0x9E3779B185EBCA87))
    (global.set $acc1 (v128.const i64x2 0xC2B2AE3D27D4EB4F 0x165667B19E3779F9))
    (global.set $acc2 (v128.const i64x2 0x85EBCA77C2B2AE63 0x85EBCA77))
    (global.set $acc3 (v128.const i64x2 0x27D4EB2F165667C5 0x9E3779B1)))

  ;; Takes in stripes of 64 bytes, $count of them to each of $blocks blocks; with $scramble, each block ends with a
  ;; scrambling. Pairs of vectors share their shuffles: the products of their 64-bit lanes' halves need two for both.
  (func $take (param $at i32) (param $blocks i32) (param $count i32) (param $key i32) (param $scramble i32)
    (local $end i32) (local $keyFirst i32)
    (local $a0 v128) (local $a1 v128) (local $a2 v128) (local $a3 v128)
    (local $d0 v128) (local $d1 v128) (local $k0 v128) (local $k1 v128) (local $low v128) (local $high v128)
    (local.set $a0 (global.get $acc0))
    (local.set $a1 (global.get $acc1))
    (local.set $a2 (global.get $acc2))
    (local.set $a3 (global.get $acc3))
    (local.set $keyFirst (i32.add (global.get $secret) (local.get $key)))
    (block $done
      (loop $block
        (br_if $done (i32.eqz (local.get $blocks)))
        (local.set $key (local.get $keyFirst))
        (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 6))))
        (loop $stripe
          (local.set $d0 (v128.load offset=0 (local.get $at)))
          (local.set $d1 (v128.load offset=16 (local.get $at)))
          (local.set $k0 (v128.xor (local.get $d0) (v128.load offset=0 (local.get $key))))
          (local.set $k1 (v128.xor (local.get $d1) (v128.load offset=16 (local.get $key))))
          (local.set $low
            (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27 (local.get $k0) (local.get $k1)))
          (local.set $high
            (i8x16.shuffle 4 5 6 7 12 13 14 15 20 21 22 23 28 29 30 31 (local.get $k0) (local.get $k1)))
          (local.set $a0
            (i64x2.add (local.get $a0)
              (i64x2.add
                (i64x2.extmul_low_i32x4_u (local.get $low) (local.get $high))
                (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $d0) (local.get $d0)))))
          (local.set $a1
            (i64x2.add (local.get $a1)
              (i64x2.add
                (i64x2.extmul_high_i32x4_u (local.get $low) (local.get $high))
                (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $d1) (local.get $d1)))))
          (local.set $d0 (v128.load offset=32 (local.get $at)))
          (local.set $d1 (v128.load offset=48 (local.get $at)))
          (local.set $k0 (v128.xor (local.get $d0) (v128.load offset=32 (local.get $key))))
          (local.set $k1 (v128.xor (local.get $d1) (v128.load offset=48 (local.get $key))))
          (local.set $low
            (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27 (local.get $k0) (local.get $k1)))
          (local.set $high
            (i8x16.shuffle 4 5 6 7 12 13 14 15 20 21 22 23 28 29 30 31 (local.get $k0) (local.get $k1)))
          (local.set $a2
            (i64x2.add (local.get $a2)
              (i64x2.add
                (i64x2.extmul_low_i32x4_u (local.get $low) (local.get $high))
                (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $d0) (local.get $d0)))))
          (local.set $a3
            (i64x2.add (local.get $a3)
              (i64x2.add
                (i64x2.extmul_high_i32x4_u (local.get $low) (local.get $high))
                (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $d1) (local.get $d1)))))
          (local.set $at (i32.add (local.get $at) (i32.const 64)))
          (local.set $key (i32.add (local.get $key) (i32.const 8)))
          (br_if $stripe (i32.lt_u (local.get $at) (local.get $end))))
        (if (local.get $scramble) (then
          (local.set $a0
            (i64x2.mul
              (v128.xor
                (v128.xor (local.get $a0) (i64x2.shr_u (local.get $a0) (i32.const 47)))
                (v128.load offset=128 (global.get $secret)))
              (v128.const i64x2 0x9E3779B1 0x9E3779B1)))
          (local.set $a1
            (i64x2.mul
              (v128.xor
                (v128.xor (local.get $a1) (i64x2.shr_u (local.get $a1) (i32.const 47)))
                (v128.load offset=144 (global.get $secret)))
              (v128.const i64x2 0x9E3779B1 0x9E3779B1)))
          (local.set $a2
            (i64x2.mul
              (v128.xor
                (v128.xor (local.get $a2) (i64x2.shr_u (local.get $a2) (i32.const 47)))
                (v128.load offset=160 (global.get $secret)))
              (v128.const i64x2 0x9E3779B1 0x9E3779B1)))
          (local.set $a3
            (i64x2.mul
              (v128.xor
                (v128.xor (local.get $a3) (i64x2.shr_u (local.get $a3) (i32.const 47)))
                (v128.load offset=176 (global.get $secret)))
              (v128.const i64x2 0x9E3779B1 0x9E3779B1)))))
        (local.set $blocks (i32.sub (local.get $blocks) (i32.const 1)))
        (br $block)))
    (global.set $acc0 (local.get $a0))
    (global.set $acc1 (local.get $a1))
    (global.set $acc2 (local.get $a2))
    (global.set $acc3 (local.get $a3)))

  ;; Takes in whole blocks of 1,024 bytes; more has to follow.
  (func $blocks (export "blocks") (param $at i32) (param $count i32)
    (call $take (local.get $at) (local.get $count) (i32.const 16) (i32.const 0) (i32.const 1)))

  (func $merge (param $pair v128) (param $key i32) (result i64)
    (local.set $pair (v128.xor (local.get $pair) (v128.load (i32.add (global.get $secret) (local.get $key)))))
    (call $fold (i64x2.extract_lane 0 (local.get $pair)) (i64x2.extract_lane 1 (local.get $pair))))

  ;; Takes in the last $length bytes, at least one, of $total; the 64 bytes before the end have to be there, even where
  ;; some of them were taken in before.
  (func $finish (param $at i32) (param $length i32) (param $total i32) (result i64)
    (local $blocks i32) (local $stripes i32) (local $end i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (local.set $blocks (i32.shr_u (i32.sub (local.get $length) (i32.const 1)) (i32.const 10)))
    (call $blocks (local.get $at) (local.get $blocks))
    (local.set $at (i32.add (local.get $at) (i32.shl (local.get $blocks) (i32.const 10))))
    (local.set $stripes
      (i32.shr_u (i32.sub (i32.sub (local.get $end) (local.get $at)) (i32.const 1)) (i32.const 6)))
    (if (local.get $stripes) (then
      (call $take (local.get $at) (i32.const 1) (local.get $stripes) (i32.const 0) (i32.const 0))))
    (call $take (i32.sub (local.get $end) (i32.const 64)) (i32.const 1) (i32.const 1) (i32.const 121) (i32.const 0))
    (call $avalanche
      (i64.add
        (i64.add
          (i64.mul (i64.extend_i32_u (local.get $total)) (i64.const 0x9E3779B185EBCA87))
          (i64.add (call $merge (global.get $acc0) (i32.const 11)) (call $merge (global.get $acc1) (i32.const 27))))
        (i64.add (call $merge (global.get $acc2) (i32.const 43)) (call $merge (global.get $acc3) (i32.const 59))))))

  (func (export "end") (param $at i32) (param $length i32) (param $total i32) (result i32)
    (i32.wrap_i64 (call $finish (local.get $at) (local.get $length) (local.get $total))))

  (func $hash (param $at i32) (param $length i32) (result i64)
    (if (i32.le_u (local.get $length) (i32.const 128))
      (then (return (call $hashTo128 (local.get $at) (local.get $length)))))
    (if (i32.le_u (local.get $length) (i32.const 240))
      (then (return (call $hashTo240 (local.get $at) (local.get $length)))))
    (call $begin)
    (call $finish (local.get $at) (local.get $length) (local.get $length)))

  ;; The low half of the hash of $length bytes, at least 17.
  (func (export "hash") (param $at i32) (param $length i32) (result i32)
    (i32.wrap_i64 (call $hash (local.get $at) (local.get $length)))))
