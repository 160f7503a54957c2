// One or four neighbouring floats, moved by one instruction.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace ganforge::pack {

template <int width>
struct Pack {
  float v[width];
};

template <int width>
__device__ Pack<width> load(const float* p) {
  if constexpr (width == 4) {
    const float4 value = *reinterpret_cast<const float4*>(p);
    return {value.x, value.y, value.z, value.w};
  } else {
    return {*p};
  }
}

template <int width>
__device__ void store(float* p, const Pack<width>& value) {
  if constexpr (width == 4) {
    // An assignment to a float4 ends as four scalar stores (nvcc 13.0); the intrinsic does not.
    __stwb(reinterpret_cast<float4*>(p), make_float4(value.v[0], value.v[1], value.v[2], value.v[3]));
  } else {
    *p = value.v[0];
  }
}

/// 4 where rows of `channels` floats keep the alignment of all this memory, else 1.
inline int width_for(std::int64_t channels, std::initializer_list<const void*> memory) {
  if (channels % 4 != 0) return 1;
  for (const void* p : memory)
    if (reinterpret_cast<std::uintptr_t>(p) % 16 != 0) return 1;
  return 4;
}

template <int n>
struct Width {
  static constexpr int value = n;
};
/// f(Width<width>, index): 32-bit indices where they suffice for `elements`, a 64-bit division costs some hundred
/// instructions.
template <class Function>
void with_width_and_index(int width, std::int64_t elements, const Function& f) {
  const bool small = elements < (std::int64_t(1) << 31);
  if (width == 4 && small) return f(Width<4>{}, std::uint32_t{});
  if (width == 4) return f(Width<4>{}, std::uint64_t{});
  if (small) return f(Width<1>{}, std::uint32_t{});
  f(Width<1>{}, std::uint64_t{});
}

}  // namespace ganforge::pack
