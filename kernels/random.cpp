// Random numbers and batches on the CPU: a loop over quads that the compiler turns into vectors, four elements a lane.
// Built with -ffp-contract=off (exact.h).
#include "kernels/random.h"
#include "kernels/isa.h"
#include "kernels/philox.h"
#include "kernels/schedule_value.h"
#include "kernels/team.h"

namespace ganforge::GANFORGE_ISA {
namespace {

constexpr std::int64_t serial_elements = 1024;  // below, starting the threads costs more than they save

/// y[i] = quad_of(words)[element mod 4] with element = draw.first + i.
template <class QuadOf>
void fill(const CpuStream& stream, const Draw& draw, std::int64_t tick, float* y, std::int64_t n, QuadOf quad_of) {
  const PhiloxKey key = philox_key(draw.seed, draw.purpose);
  const std::uint32_t number = draw.draw;
  const std::int64_t last = draw.first + n;
  // A quad of which only some elements are wanted.
  const auto part = [&](std::int64_t quad) {
    const Quad z = quad_of(words_of_quad(key, number, tick, quad));
    const float lane[4] = {z.y0, z.y1, z.y2, z.y3};
    for (std::int64_t k = 0; k < 4; ++k) {
      const std::int64_t element = 4 * quad + k;
      if (element >= draw.first && element < last) y[element - draw.first] = lane[k];
    }
  };
  const std::int64_t whole_begin = (draw.first + 3) / 4, whole_end = last / 4;
  if (4 * whole_begin != draw.first) part(draw.first / 4);
  if (4 * whole_end != last && whole_end >= whole_begin) part(whole_end);

  const std::int64_t whole = whole_end > whole_begin ? whole_end - whole_begin : 0;
  float* first_whole = y + (4 * whole_begin - draw.first);
  on_team(stream, n > serial_elements, [&](int threads, int thread) {
#pragma GCC ivdep
    for (std::int64_t q = whole * thread / threads; q < whole * (thread + 1) / threads; ++q) {
      const Quad z = quad_of(words_of_quad(key, number, tick, whole_begin + q));
      first_whole[4 * q] = z.y0;
      first_whole[4 * q + 1] = z.y1;
      first_whole[4 * q + 2] = z.y2;
      first_whole[4 * q + 3] = z.y3;
    }
  });
}

}  // namespace

void uniform(const CpuStream& stream, const Draw& draw, const std::int64_t* tick, float low, float high, float* y,
             std::int64_t n) {
  const UniformRange range = uniform_range(low, high);
  fill(stream, draw, *tick, y, n, [=](Words words) { return uniform_quad(words, range); });
}

void normal(const CpuStream& stream, const Draw& draw, const std::int64_t* tick, float mean, float stddev, float* y,
            std::int64_t n) {
  fill(stream, draw, *tick, y, n, [=](Words words) { return normal_quad(words, mean, stddev); });
}

void draw_batch(const CpuStream& stream, const DrawBatchArgs& args) {
  const std::int64_t cursor = *args.cursor;
  on_team(stream, args.rows * args.sample > serial_elements, [&](int threads, int thread) {
    for (std::int64_t row = args.rows * thread / threads; row < args.rows * (thread + 1) / threads; ++row) {
      const bool drawn = !args.staged || args.labels;
      const std::int64_t sample = drawn ? shuffled_sample(args.seed, cursor + row, args.count) : 0;
      const std::uint8_t* from = args.data + (args.staged ? row : sample) * args.sample;
      float* to = args.x + row * args.sample;
      const float scale = args.scale, shift = args.shift;
#pragma GCC ivdep
      for (std::int64_t i = 0; i < args.sample; ++i) to[i] = add(mul(float(from[i]), scale), shift);
      if (args.labels) args.y[row] = args.labels[sample];
    }
  });
  *args.new_cursor = cursor + args.rows;
}

}  // namespace ganforge::GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace ganforge {
namespace isa_avx2 {
void uniform(const CpuStream&, const Draw&, const std::int64_t*, float, float, float*, std::int64_t);
void normal(const CpuStream&, const Draw&, const std::int64_t*, float, float, float*, std::int64_t);
void draw_batch(const CpuStream&, const DrawBatchArgs&);
}  // namespace isa_avx2
namespace isa_avx512 {
void uniform(const CpuStream&, const Draw&, const std::int64_t*, float, float, float*, std::int64_t);
void normal(const CpuStream&, const Draw&, const std::int64_t*, float, float, float*, std::int64_t);
void draw_batch(const CpuStream&, const DrawBatchArgs&);
}  // namespace isa_avx512

void uniform(const CpuStream& stream, const Draw& draw, const std::int64_t* tick, float low, float high, float* y,
             std::int64_t n) {
  const auto run = pick(stream.isa, isa_baseline::uniform, isa_avx2::uniform, isa_avx512::uniform);
  run(stream, draw, tick, low, high, y, n);
}

void normal(const CpuStream& stream, const Draw& draw, const std::int64_t* tick, float mean, float stddev, float* y,
            std::int64_t n) {
  const auto run = pick(stream.isa, isa_baseline::normal, isa_avx2::normal, isa_avx512::normal);
  run(stream, draw, tick, mean, stddev, y, n);
}

void draw_batch(const CpuStream& stream, const DrawBatchArgs& args) {
  pick(stream.isa, isa_baseline::draw_batch, isa_avx2::draw_batch, isa_avx512::draw_batch)(stream, args);
}

void schedule(const CpuStream&, const Schedule* schedules, int count, const std::int64_t* tick, float* const* values) {
  for (int i = 0; i < count; ++i) *values[i] = schedule_value(schedules[i], *tick);
}

}  // namespace ganforge
#endif
