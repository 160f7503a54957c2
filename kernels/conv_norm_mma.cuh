// What conv_norm.cuh multiplies on tensor cores.
#pragma once

#include "kernels/conv_norm.cuh"
#include "kernels/conv_subpixel_mma_data.cuh"

namespace ganforge {
namespace {

template <bool input_, class Tile_, bool bf16>
struct MmaProduct {
  using Tile = Tile_;
  using Operands = DataOperands<input_, Tile>;
  static constexpr bool input = input_;
  static constexpr int blocks = 1;

  static __device__ int turn(int row) {
    return mma::turn<mma::FragmentsA<Operands::along_a, Tile::m, Tile::k, Tile::warp_m>,
                     mma::FragmentsB<Operands::along_b, Tile::n, Tile::k, Tile::warp_n>>(row);
  }
  template <class AtColumn>
  static __device__ bool multiply(const SubpixelArgs& args, int tile, int part, float*, const AtColumn& at_column) {
    __shared__ int2 rows[Tile::m];
    Operands operands(args, tile, part, rows);
    return multiply_tile<Tile, Operands, bf16>(args, operands, tile, part, at_column);
  }
};

/// f(Product{}) for the one that `args` is of.
template <class Args, class F>
void with_product(const CudaStream& stream, ConvDirection direction, const Args& args, const F& f) {
  const bool input = direction == ConvDirection::input, bf16 = stream.precision == Precision::bf16;
  with_mma_tile(args.conv.s.tile, [&]<class Tile>(Tile) {
    if (input && bf16) return f(MmaProduct<true, Tile, true>{});
    if (input) return f(MmaProduct<true, Tile, false>{});
    if (bf16) return f(MmaProduct<false, Tile, true>{});
    f(MmaProduct<false, Tile, false>{});
  });
}

}  // namespace
}  // namespace ganforge
