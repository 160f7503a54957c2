// conv_norm.cuh on tensor cores, gradient.
#include "kernels/conv_norm_mma.cuh"

namespace ganforge {

void launch_conv_norm_mma(const CudaStream& stream, ConvDirection direction,
                          const ConvNormArgs<BatchNormGradArgs>& args) {
  with_product(stream, direction, args, [&]<class Product>(Product) {
    launch_conv_norm_kernel(stream, conv_norm_grad_kernel<Product>, args, Product::Tile::threads,
                            Product::Tile::shared_bytes, "conv_norm_grad_kernel");
  });
}

}  // namespace ganforge
