// The fully connected layer's products in exact float32 (FFMA). Their order depends on the shapes and the number of
// multiprocessors alone.
//
// Layers of GANs are small: 128 × 128 outputs are four tiles of 64 × 64 on a card with 132 multiprocessors. Hence three
// tile sizes, the smaller ones with their k range split among the threads of a block ("slices") and merged in shared
// memory in the order of slices: enough blocks and threads without a second launch, a workspace or atomics.
#include "kernels/linear_tile.cuh"
#include "src/core/cuda_check.h"

namespace ganforge::dense {
namespace {

using SmallTile = Tile<16, 16, 128, 4, 4, 8>;
using MediumTile = Tile<32, 32, 64, 4, 4, 4>;
using LargeTile = Tile<64, 64, 32, 4, 8, 2>;

// Launches: one, for all products. Bytes: A is read n / tile.n times, B m / tile.m times (from L2 but for the first),
// C written once; bias, mask once. The bias gradient costs no bytes: the blocks of the first column of tiles take it
// from the patches of A that they hold for the product.
template <Direction direction, class Tile>
__global__ void __launch_bounds__(Tile::threads) linear_kernel(const __grid_constant__ Products products) {
  __shared__ __align__(16) float shared[TileShared<direction, Tile>::floats];
  const Product& p = product_of_block(products);
  const unsigned tile = blockIdx.x - p.first_tile;
  const std::int64_t first_m = std::int64_t(tile / p.tiles_n) * Tile::m,
                     first_n = std::int64_t(tile % p.tiles_n) * Tile::n;
  const bool sum_a = direction == Direction::weight_grad && p.bias_grad && first_n == 0;
  QuadWriter<direction> writer(p, first_m + threadIdx.x / (Tile::n / 4), first_n + 4 * (threadIdx.x % (Tile::n / 4)));
  tile_sums<direction, Tile>(p, first_m, first_n, sum_a, shared,
                             [&](int down, float4 sum) { writer.write(down, sum); });
}

constexpr int products_per_cycle = 128;

template <Direction direction, class Tile>
void launch(const CudaStream& stream, Products& products) {
  const unsigned grid = number_tiles<Tile>(products);
  linear_kernel<direction, Tile><<<grid, Tile::threads, 0, static_cast<cudaStream_t>(stream.stream)>>>(products);
  check_launch("linear_kernel");
}

/// Picks the tile with the least cost, of equal ones the larger: it reads less.
template <Direction direction>
void launch(const CudaStream& stream, Products& products) {
  const std::int64_t small = cost<SmallTile>(stream, products, products_per_cycle),
                     medium = cost<MediumTile>(stream, products, products_per_cycle),
                     large = cost<LargeTile>(stream, products, products_per_cycle);
  if (large <= small && large <= medium) return launch<direction, LargeTile>(stream, products);
  if (medium <= small) return launch<direction, MediumTile>(stream, products);
  launch<direction, SmallTile>(stream, products);
}

}  // namespace

void launch_fp32(const CudaStream& stream, Direction direction, Products& products) {
  if (direction == Direction::forward) return launch<Direction::forward>(stream, products);
  if (direction == Direction::input_grad) return launch<Direction::input_grad>(stream, products);
  launch<Direction::weight_grad>(stream, products);
}

}  // namespace ganforge::dense
