// conv_norm.cuh in exact float32 (FFMA).
#include "kernels/conv_norm.cuh"
#include "kernels/conv_subpixel_fp32_data.cuh"

#include <algorithm>

namespace ganforge {
namespace {

template <template <class> class Operands, class Tile_>
struct FfmaProduct {
  using Tile = Tile_;
  static constexpr bool input = Operands<Tile>::input;
  static constexpr int blocks = Tile::blocks > 3 ? 3 : Tile::blocks;
  static constexpr int shared_bytes = 4 * std::max(buffers<Operands<Tile>>, Tile::m* Tile::n);

  static __device__ int turn(int) { return 0; }
  template <class AtColumn>
  static __device__ bool multiply(const SubpixelArgs& args, int tile, int part, float* shared,
                                  const AtColumn& at_column) {
    Operands<Tile> operands(args, tile);
    return multiply_tile<Tile>(args, operands, tile, part, shared, at_column);
  }
};

template <class Args, class F>
void with_product(ConvDirection direction, const Args& args, const F& f) {
  with_ffma_tile(args.conv.s.tile, [&]<class Tile>(Tile) {
    if (direction == ConvDirection::input) return f(FfmaProduct<Input, Tile>{});
    f(FfmaProduct<Forward, Tile>{});
  });
}

}  // namespace

void launch_conv_norm_fp32(const CudaStream& stream, ConvDirection direction, const ConvNormArgs<BatchNormArgs>& args) {
  with_product(direction, args, [&]<class Product>(Product) {
    launch_conv_norm_kernel(stream, conv_norm_kernel<Product>, args, Product::Tile::threads, Product::shared_bytes,
                            "conv_norm_kernel");
  });
}

void launch_conv_norm_fp32(const CudaStream& stream, ConvDirection direction,
                           const ConvNormArgs<BatchNormGradArgs>& args) {
  with_product(direction, args, [&]<class Product>(Product) {
    launch_conv_norm_kernel(stream, conv_norm_grad_kernel<Product>, args, Product::Tile::threads, Product::shared_bytes,
                            "conv_norm_grad_kernel");
  });
}

void plan_conv_norm_fp32(const CudaStream& stream, ConvDirection direction, Subpixel& s) {
  const bool input = direction == ConvDirection::input;
  const int times = input ? 4 : 1, columns = input ? s.c : s.k;
  s.tile = choose_ffma_tile(stream, s.positions(), columns, times);
  s.splits = 1;
  with_ffma_tile(s.tile,
                 [&]<class Tile>(Tile) { s.tiles = times * static_cast<int>(tiles_of<Tile>(s.positions(), columns)); });
}

int conv_norm_rows_fp32(const Subpixel& s) {
  return with_ffma_tile(s.tile, []<class Tile>(Tile) { return Tile::m; });
}

}  // namespace ganforge
