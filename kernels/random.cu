#include "kernels/random.cuh"
#include "kernels/schedule_value.h"

#include "src/core/cuda_check.h"

namespace ganforge {
namespace {

// One launch, 4 bytes written a number.
__global__ void uniform_kernel(Draw draw, const std::int64_t* tick, float low, float high, float* y, std::int64_t n) {
  const std::int64_t items = fill_items(draw.first, n);
  for (std::int64_t item = blockIdx.x; item < items; item += gridDim.x)
    uniform_item(item, draw, *tick, low, high, y, n);
}

__global__ void normal_kernel(Draw draw, const std::int64_t* tick, float mean, float stddev, float* y, std::int64_t n) {
  const std::int64_t items = fill_items(draw.first, n);
  for (std::int64_t item = blockIdx.x; item < items; item += gridDim.x)
    normal_item(item, draw, *tick, mean, stddev, y, n);
}

// One launch, 5 bytes a pixel. The last block to have read the cursor advances it, since new_cursor may be cursor.
__global__ void draw_batch_kernel(const DrawBatchArgs args) {
  __shared__ std::int64_t shared_cursor;
  if (threadIdx.x == 0) {
    shared_cursor = *args.cursor;
    if (last_to_arrive(args.ticket)) *args.new_cursor = shared_cursor + args.rows;
  }
  __syncthreads();
  const std::int64_t items = batch_items(args);
  for (std::int64_t item = blockIdx.x; item < items; item += gridDim.x) batch_item(item, args, shared_cursor);
}

struct Schedules {
  Schedule schedule[max_schedules];
  float* value[max_schedules];
};

__global__ void schedule_kernel(const Schedules schedules, const std::int64_t* tick) {
  *schedules.value[threadIdx.x] = schedule_value(schedules.schedule[threadIdx.x], *tick);
}

cudaStream_t queue(const CudaStream& stream) {
  return static_cast<cudaStream_t>(stream.stream);
}

}  // namespace

void uniform(const CudaStream& stream, const Draw& draw, const std::int64_t* tick, float low, float high, float* y,
             std::int64_t n) {
  const unsigned blocks = random_blocks(stream, fill_items(draw.first, n));
  uniform_kernel<<<blocks, random_threads, 0, queue(stream)>>>(draw, tick, low, high, y, n);
  check_launch("uniform");
}

void normal(const CudaStream& stream, const Draw& draw, const std::int64_t* tick, float mean, float stddev, float* y,
            std::int64_t n) {
  const unsigned blocks = random_blocks(stream, fill_items(draw.first, n));
  normal_kernel<<<blocks, random_threads, 0, queue(stream)>>>(draw, tick, mean, stddev, y, n);
  check_launch("normal");
}

void draw_batch(const CudaStream& stream, const DrawBatchArgs& args) {
  const unsigned blocks = random_blocks(stream, batch_items(args));
  draw_batch_kernel<<<blocks, random_threads, 0, queue(stream)>>>(args);
  check_launch("draw_batch");
}

void schedule(const CudaStream& stream, const Schedule* schedules, int count, const std::int64_t* tick,
              float* const* values) {
  if (count == 0) return;
  Schedules all{};
  std::copy_n(schedules, count, all.schedule);
  std::copy_n(values, count, all.value);
  schedule_kernel<<<1, static_cast<unsigned>(count), 0, queue(stream)>>>(all, tick);
  check_launch("schedule");
}

}  // namespace ganforge
