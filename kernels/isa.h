// One source, three instruction sets. CMake compiles every file listed as a hot kernel once per set, with GANFORGE_ISA
// naming the namespace of the compilation (isa_baseline, isa_avx2, isa_avx512) and GANFORGE_ISA_BASELINE defined in the
// first, which also holds the public function:
//
//   namespace ganforge::GANFORGE_ISA { void linear(const CpuStream& stream, const LinearArgs& args) { … } }
//   #ifdef GANFORGE_ISA_BASELINE
//   namespace ganforge {
//   namespace isa_avx2 { void linear(const CpuStream&, const LinearArgs&); }
//   namespace isa_avx512 { void linear(const CpuStream&, const LinearArgs&); }
//   void linear(const CpuStream& stream, const LinearArgs& args) {
//     pick(stream.isa, isa_baseline::linear, isa_avx2::linear, isa_avx512::linear)(stream, args);
//   }
//   }
//   #endif
//
// Everything else in such a file has internal linkage and uses no inline function of the standard library: the linker
// keeps one copy of those for the whole program, and it must not be one with AVX-512 in it. A test looks at the
// symbols.
#pragma once

#include <ganforge/stream.h>

namespace ganforge {

template <class Function>
constexpr Function* pick(Isa isa, Function* baseline, Function* avx2, Function* avx512) {
  return isa == Isa::avx512 ? avx512 : isa == Isa::avx2 ? avx2 : baseline;
}

}  // namespace ganforge
