// conv_norm.cuh on tensor cores, forward.
#include "kernels/conv_norm_mma.cuh"

namespace ganforge {

void launch_conv_norm_mma(const CudaStream& stream, ConvDirection direction, const ConvNormArgs<BatchNormArgs>& args) {
  with_product(stream, direction, args, [&]<class Product>(Product) {
    launch_conv_norm_kernel(stream, conv_norm_kernel<Product>, args, Product::Tile::threads,
                            Product::Tile::shared_bytes, "conv_norm_kernel");
  });
}

int conv_norm_rows_mma(const Subpixel& s) {
  return with_mma_tile(s.tile, []<class Tile>(Tile) { return Tile::m; });
}

}  // namespace ganforge
