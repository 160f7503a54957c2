#include "kernels/prologue.h"
#include "kernels/random.cuh"
#include "kernels/ring.h"
#include "kernels/schedule_value.h"

#include "src/core/cuda_check.h"

namespace ganforge {
namespace {

GANFORGE_EXACT std::int64_t latent_items(const Latent& latent) {
  return fill_items(latent.first, latent.elements);
}

__device__ void latent_item(std::int64_t item, const Latent& latent, std::uint64_t seed, std::int64_t tick) {
  const Draw draw{seed, purpose_noise, latent.draw, latent.first};
  if (latent.kind == Latent::Kind::normal) {
    normal_item(item, draw, tick, 0.0f, 1.0f, latent.z, latent.elements);
  } else {
    uniform_item(item, draw, tick, latent.low, latent.high, latent.z, latent.elements);
  }
}

// One launch; item 0 is the ring and the schedules, then come the latents (4 bytes written a number), then slices of
// the batch's rows (5 bytes a pixel). The last block to have read tick and cursor advances them, since the outputs may
// be the inputs.
__global__ void prologue_kernel(const PrologueArgs args, std::int64_t items) {
  __shared__ std::int64_t shared_tick, shared_cursor;
  if (threadIdx.x == 0) {
    shared_tick = *args.tick;
    shared_cursor = args.batch.rows > 0 ? *args.batch.cursor : 0;
    if (last_to_arrive(args.ticket)) {
      *args.new_tick = shared_tick + 1;
      if (args.batch.rows > 0) *args.batch.new_cursor = shared_cursor + args.batch.rows;
    }
  }
  __syncthreads();
  const std::int64_t tick = shared_tick;
  const DrawBatchArgs batch = batch_at(args.batch, tick);
  for (std::int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    if (item == 0) {
      file_statistics(args, tick, static_cast<int>(threadIdx.x), random_threads);
      const int s = static_cast<int>(threadIdx.x);
      if (s < args.schedules) *args.schedule_value[s] = schedule_value(args.schedule[s], tick);
      continue;
    }
    std::int64_t rest = item - 1;
    int l = 0;
    for (; l < args.latents && rest >= latent_items(args.latent[l]); ++l) rest -= latent_items(args.latent[l]);
    if (l < args.latents) {
      latent_item(rest, args.latent[l], args.seed, tick);
    } else {
      batch_item(rest, batch, shared_cursor);
    }
  }
}

}  // namespace

void prologue(const CudaStream& stream, const PrologueArgs& args) {
  std::int64_t items = 1;
  for (int l = 0; l < args.latents; ++l) items += latent_items(args.latent[l]);
  if (args.batch.rows > 0) items += batch_items(args.batch);
  prologue_kernel<<<random_blocks(stream, items), random_threads, 0, static_cast<cudaStream_t>(stream.stream)>>>(args,
                                                                                                                 items);
  check_launch("prologue");
}

}  // namespace ganforge
