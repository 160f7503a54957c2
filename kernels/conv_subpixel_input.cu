// conv_subpixel.cuh, input: y, w → x.
#include "kernels/conv_subpixel_fp32_data.cuh"

namespace ganforge {
namespace {

template <class Tile>
void launch(const CudaStream& stream, const SubpixelArgs& args) {
  const unsigned grid = 4 * tiles(args.s.positions(), Tile::m) * tiles(args.s.c, Tile::n);
  subpixel_kernel<Tile, Input<Tile>><<<grid, Tile::threads, 0, queue_of(stream)>>>(args);
  check_launch("subpixel_kernel");
}

}  // namespace

// Bytes: y is read 4 · C / tile.n times, w N·P·Q / tile.m times (from L2 but for the
// first), x written and bias and mask read once.
void launch_subpixel_input(const CudaStream& stream, const Subpixel& s, const ConvEpilogue& epilogue,
                           const ConvArgs& at) {
  const ConvFinish finish(epilogue, at);
  const SubpixelArgs args{.s = s,
                          .at = at,
                          .finish = finish,
                          .vector_a = vectors(s.k, at.y),
                          .vector_b = vectors(s.c, at.w),
                          .vector_out = finish.in_fours(s.c, at.out)};
  with_ffma_tile(choose_ffma_tile(stream, s.positions(), s.c, 4),
                 [&]<class Tile>(Tile) { launch<Tile>(stream, args); });
}

}  // namespace ganforge
