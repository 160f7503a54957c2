// Arithmetic with the same bits on every backend and instruction set: no product is fused with a sum.
//
// On the GPU that is spelled out. On the CPU it hangs on -ffp-contract=off, which CMake sets for the files that include
// this one. Multiplication, addition, division and square root are then rounded once each, as IEEE 754 wants it.
// Everything is static and inlined: see isa.h.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define GANFORGE_EXACT static __host__ __device__ __forceinline__
#else
#define GANFORGE_EXACT [[gnu::always_inline]] static inline
#endif

namespace ganforge {

#ifdef __CUDA_ARCH__
GANFORGE_EXACT float mul(float a, float b) {
  return __fmul_rn(a, b);
}
GANFORGE_EXACT float add(float a, float b) {
  return __fadd_rn(a, b);
}
GANFORGE_EXACT double mul(double a, double b) {
  return __dmul_rn(a, b);
}
GANFORGE_EXACT double add(double a, double b) {
  return __dadd_rn(a, b);
}
GANFORGE_EXACT float divide(float a, float b) {
  return __fdiv_rn(a, b);
}
GANFORGE_EXACT float square_root(float a) {
  return __fsqrt_rn(a);
}
#else
GANFORGE_EXACT float mul(float a, float b) {
  return a * b;
}
GANFORGE_EXACT float add(float a, float b) {
  return a + b;
}
GANFORGE_EXACT double mul(double a, double b) {
  return a * b;
}
GANFORGE_EXACT double add(double a, double b) {
  return a + b;
}
GANFORGE_EXACT float divide(float a, float b) {
  return a / b;
}
GANFORGE_EXACT float square_root(float a) {
  return __builtin_sqrtf(a);
}
#endif

GANFORGE_EXACT std::uint32_t bits_of(float a) {
  return __builtin_bit_cast(std::uint32_t, a);
}
GANFORGE_EXACT float float_of(std::uint32_t bits) {
  return __builtin_bit_cast(float, bits);
}

}  // namespace ganforge
