// conv_subpixel_mma.cuh, forward and input: x, w → y and y, w → x.
#include "kernels/conv_subpixel_mma_data.cuh"

namespace ganforge {
namespace {

template <bool input, class Tile, bool bf16>
__global__ void __launch_bounds__(Tile::threads) subpixel_mma_kernel(const __grid_constant__ SubpixelArgs args) {
  __shared__ int2 rows[Tile::m];
  const int tile = blockIdx.x % args.s.tiles, part = blockIdx.x / args.s.tiles;
  DataOperands<input, Tile> operands(args, tile, part, rows);
  multiply_tile<Tile, DataOperands<input, Tile>, bf16>(
      args, operands, tile, part,
      at_columns(args, operands.first_n, operands.columns, [&](int row) { return operands.offset(row); }));
}

template <bool input>
void launch(const CudaStream& stream, const SubpixelArgs& args) {
  with_mma_tile(args.s.tile, [&]<class Tile>(Tile) {
    const auto kernel = stream.precision == Precision::bf16 ? subpixel_mma_kernel<input, Tile, true>
                                                            : subpixel_mma_kernel<input, Tile, false>;
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::shared_bytes),
               "subpixel_mma_kernel: shared memory");
    kernel<<<args.s.tiles * args.s.splits, Tile::threads, Tile::shared_bytes, queue_of(stream)>>>(args);
    check_launch("subpixel_mma_kernel");
  });
}

}  // namespace

void launch_subpixel_mma(const CudaStream& stream, ConvDirection direction, const Subpixel& s,
                         const ConvEpilogue& epilogue, const ConvArgs& at) {
  const bool input = direction == ConvDirection::input;
  const ConvFinish finish(epilogue, at);
  const SubpixelArgs args{.s = s,
                          .at = at,
                          .finish = finish,
                          .vector_a = input ? vectors(s.k, at.y) : vectors(s.c, at.x),
                          .vector_b = vectors(s.c, at.w),
                          .vector_out = finish.in_fours(input ? s.c : s.k, at.out)};
  if (input) return launch<true>(stream, args);
  launch<false>(stream, args);
}

std::size_t subpixel_mma_workspace(const Subpixel& s, ConvDirection direction) {
  return with_mma_tile(s.tile,
                       [&]<class Tile>(Tile) { return parts_bytes<Tile>(s, direction == ConvDirection::weight); });
}

void plan_subpixel_mma(const CudaStream& stream, ConvDirection direction, Subpixel& s) {
  if (direction == ConvDirection::forward) return choose_mma_tile(stream, 1, s.positions(), s.k, 16 * s.c, s);
  if (direction == ConvDirection::input) return choose_mma_tile(stream, 4, s.positions(), s.c, 4 * s.k, s);
  const std::int64_t images = std::int64_t(tiles(s.n, LargeMma::k)) * LargeMma::k;  // of whole steps
  choose_mma_tile(stream, 1, s.k, s.taps * s.c, images * s.p * s.q, s);
}

}  // namespace ganforge
