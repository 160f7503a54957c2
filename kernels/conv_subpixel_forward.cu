// conv_subpixel.cuh, forward: x, w → y.
#include "kernels/conv_subpixel_fp32_data.cuh"

namespace ganforge {
namespace {

template <class Tile>
void launch(const CudaStream& stream, const SubpixelArgs& args) {
  const unsigned grid = tiles(args.s.positions(), Tile::m) * tiles(args.s.k, Tile::n);
  subpixel_kernel<Tile, Forward<Tile>><<<grid, Tile::threads, 0, queue_of(stream)>>>(args);
  check_launch("subpixel_kernel");
}

}  // namespace

// Bytes: x is read K / tile.n times (from L2 but for the first), w N·P·Q / tile.m times, y written and bias and mask
// read once.
void launch_subpixel_forward(const CudaStream& stream, const Subpixel& s, const ConvEpilogue& epilogue,
                             const ConvArgs& at) {
  const ConvFinish finish(epilogue, at);
  const SubpixelArgs args{.s = s,
                          .at = at,
                          .finish = finish,
                          .vector_a = vectors(s.c, at.x),
                          .vector_b = vectors(s.c, at.w),
                          .vector_out = finish.in_fours(s.k, at.out)};
  with_ffma_tile(choose_ffma_tile(stream, s.positions(), s.k, 1),
                 [&]<class Tile>(Tile) { launch<Tile>(stream, args); });
}

}  // namespace ganforge
