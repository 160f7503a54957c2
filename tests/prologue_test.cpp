#include "kernels/prologue.h"

#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <numeric>

namespace ganforge {
namespace {

using kernel_test::Array;
using kernel_test::devices;

constexpr std::uint64_t seed = 7;
constexpr std::int64_t ring_rows = 3, count = 10, rows = 4;

template <class T>
std::vector<T> one(T value) {
  return {value};
}

std::vector<float> counting(std::int64_t n) {
  std::vector<float> values(static_cast<std::size_t>(n));
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

/// All that a prologue reads and writes, on one device.
struct OneRun {
  OneRun(Device& device, std::int64_t sample, std::int64_t first_tick = 0)
      : device(device),
        sample(sample),
        tick(device, one(first_tick)),
        new_tick(device, one<std::int64_t>(-1)),
        cursor(device, one<std::int64_t>(5)),
        new_cursor(device, one<std::int64_t>(-1)),
        ring_tick(device, std::vector<std::int64_t>(ring_rows, 0)),
        new_ring_tick(device, std::vector<std::int64_t>(ring_rows, -1)),
        statistics(device, counting(statistics_slots * statistics_stride)),
        ring(device, counting(ring_rows * statistics_slots)),
        new_ring(device, ring_rows * statistics_slots),
        values(device, 2),
        z0(device, 601),
        z1(device, 17),
        x(device, rows * sample),
        y(device, rows),
        labels(device, {10, 11, 12, 13, 14, 15, 16, 17, 18, 19}),
        data(device, pixels()),
        ticket(device, one(0u)) {}

  std::vector<std::uint8_t> pixels() const {
    std::vector<std::uint8_t> bytes;
    for (std::int64_t i = 0; i < count * sample; ++i) bytes.push_back(static_cast<std::uint8_t>(i * 37 % 251));
    return bytes;
  }

  PrologueArgs args(bool aliased) {
    PrologueArgs a{.tick = tick.data(),
                   .new_tick = aliased ? tick.data() : new_tick.data(),
                   .statistics = statistics.data(),
                   .ring = ring.data(),
                   .new_ring = aliased ? ring.data() : new_ring.data(),
                   .ring_tick = ring_tick.data(),
                   .new_ring_tick = aliased ? ring_tick.data() : new_ring_tick.data(),
                   .ring_rows = ring_rows,
                   .schedules = 2,
                   .schedule = {{Schedule::Kind::cosine, 1, 0, 0, 10}, {Schedule::Kind::constant, 5, 0, 0, 0}},
                   .schedule_value = {values.data(), values.data() + 1},
                   .latents = 2,
                   .latent = {{Latent::Kind::normal, 0, 0, 3, 601, z0.data(), 2},
                              {Latent::Kind::uniform, -1, 1, 4, 17, z1.data()}},
                   .batch = {.data = data.data(),
                             .labels = labels.data(),
                             .cursor = cursor.data(),
                             .x = x.data(),
                             .y = y.data(),
                             .new_cursor = aliased ? cursor.data() : new_cursor.data(),
                             .count = count,
                             .sample = sample,
                             .rows = rows,
                             .scale = 1 / 127.5f,
                             .shift = -1,
                             .seed = seed,
                             .ticket = nullptr},
                   .seed = seed,
                   .ticket = ticket.data()};
    return a;
  }

  void operator()(const PrologueArgs& a) {
    std::visit([&](const auto& stream) { prologue(stream, a); }, device.stream());
    EXPECT_EQ(ticket.value(), 0u);
  }

  Device& device;
  std::int64_t sample;
  Array<std::int64_t> tick, new_tick, cursor, new_cursor, ring_tick, new_ring_tick;
  Array<float> statistics, ring, new_ring, values, z0, z1, x;
  Array<std::int32_t> y, labels;
  Array<std::uint8_t> data;
  Array<unsigned> ticket;
};

TEST(Prologue, HasTheNumbersOfTheSeparateOps) {
  for (Device& device : devices()) {
    for (std::int64_t sample : {5, 784, 2304}) {
      SCOPED_TRACE(kernel_test::describe(device) + ", sample = " + std::to_string(sample));
      OneRun run(device, sample);
      for (std::int64_t tick = 0; tick < 4; ++tick) {
        Array<std::int64_t> t(device, one(tick)), cursor(device, one(5 + tick * rows));
        Array<float> z0(device, 601), z1(device, 17), x(device, rows * sample), values(device, 2);
        Array<std::int32_t> y(device, rows);
        PrologueArgs args = run.args(true);
        DrawBatchArgs batch = args.batch;
        batch.cursor = batch.new_cursor = cursor.data();
        batch.x = x.data();
        batch.y = y.data();
        batch.ticket = run.ticket.data();
        float* const value[] = {values.data(), values.data() + 1};
        std::visit(
            [&](const auto& stream) {
              normal(stream, {seed, purpose_noise, 3, 2}, t.data(), 0, 1, z0.data(), 601);
              uniform(stream, {seed, purpose_noise, 4, 0}, t.data(), -1, 1, z1.data(), 17);
              schedule(stream, args.schedule, 2, t.data(), value);
              draw_batch(stream, batch);
            },
            device.stream());
        run(args);
        EXPECT_EQ(run.z0.values(), z0.values());
        EXPECT_EQ(run.z1.values(), z1.values());
        EXPECT_EQ(run.x.values(), x.values());
        EXPECT_EQ(run.y.values(), y.values());
        EXPECT_EQ(run.values.values(), values.values());
        EXPECT_EQ(run.tick.value(), tick + 1);
        EXPECT_EQ(run.cursor.value(), cursor.value());
      }
    }
  }
}

TEST(Prologue, TakesAStagedBatchAsItIsAndDrawsItsLabels) {
  for (Device& device : devices()) {
    for (std::int64_t sample : {5, 784, 2304}) {
      SCOPED_TRACE(kernel_test::describe(device) + ", sample = " + std::to_string(sample));
      for (std::int64_t tick : {6, 7}) {
        for (bool labelled : {true, false}) {
          OneRun drawn(device, sample, tick), staged(device, sample, tick);
          drawn(drawn.args(true));
          PrologueArgs args = staged.args(true);
          args.batch.staged = true;  // the first 2 · rows samples are the slots
          if (!labelled) args.batch.labels = nullptr, args.batch.y = nullptr, args.batch.count = 0;
          staged(args);
          const std::vector<std::uint8_t> pixels = staged.pixels();
          std::vector<float> x;
          for (std::int64_t i = 0; i < rows * sample; ++i)
            x.push_back(static_cast<float>(pixels[std::size_t(tick % 2 * rows * sample + i)]) * args.batch.scale);
          const std::vector<float> got = staged.x.values();
          for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(got[i], x[i] + args.batch.shift, 1e-6f);
          EXPECT_EQ(staged.y.values(), labelled ? drawn.y.values() : std::vector<std::int32_t>(rows, 113));
          EXPECT_EQ(staged.z0.values(), drawn.z0.values());
          EXPECT_EQ(staged.cursor.value(), 5 + rows);
        }
      }
    }
  }
}

TEST(Prologue, FilesTheStatisticsOfTheRunBefore) {
  for (Device& device : devices()) {
    for (bool aliased : {true, false}) {
      for (std::int64_t tick : {0, 1, 3, 4, 1000}) {
        SCOPED_TRACE(kernel_test::describe(device) + ", tick = " + std::to_string(tick));
        OneRun run(device, 4, tick);
        run(run.args(aliased));
        auto ring = counting(ring_rows * statistics_slots);
        std::vector<std::int64_t> ring_tick(ring_rows, 0);
        if (tick > 0) {
          const std::int64_t row = (tick - 1) % ring_rows;
          for (int slot = 0; slot < statistics_slots; ++slot) {
            ring[std::size_t(row * statistics_slots + slot)] = float(slot * statistics_stride);
          }
          ring_tick[std::size_t(row)] = tick;
        }
        EXPECT_EQ((aliased ? run.ring : run.new_ring).values(), ring);
        EXPECT_EQ((aliased ? run.ring_tick : run.new_ring_tick).values(), ring_tick);
        if (!aliased) {
          EXPECT_EQ(run.ring.values(), counting(ring_rows * statistics_slots));
          EXPECT_EQ(run.tick.value(), tick);
          EXPECT_EQ(run.new_tick.value(), tick + 1);
          EXPECT_EQ(run.cursor.value(), 5);
          EXPECT_EQ(run.new_cursor.value(), 5 + rows);
        }
      }
    }
  }
}

TEST(Prologue, TakesNeitherDataNorLatentsNorSchedules) {
  for (Device& device : devices()) {
    SCOPED_TRACE(kernel_test::describe(device));
    OneRun run(device, 4, 2);
    PrologueArgs args = run.args(true);
    args.latents = args.schedules = 0;
    args.batch = {};
    run(args);
    run(args);
    EXPECT_EQ(run.tick.value(), 4);
    EXPECT_EQ(run.ring_tick.values(), (std::vector<std::int64_t>{0, 2, 3}));
    EXPECT_EQ(run.cursor.value(), 5);
    EXPECT_EQ(run.y.values(), std::vector<std::int32_t>(rows, 113));
  }
}

// More work than blocks: each takes several items.
TEST(Prologue, HasTheSameBitsOnEveryDevice) {
  auto all = devices();
  std::vector<float> z, x;
  for (Device& device : all) {
    SCOPED_TRACE(kernel_test::describe(device));
#if GANFORGE_CUDA
    if (auto* stream = std::get_if<CudaStream>(&device.stream())) stream->multiprocessors = 1;
#endif
    OneRun run(device, 12288, 6);
    Array<float> many(device, 20001);
    PrologueArgs args = run.args(true);
    args.latent[0].elements = 20001;
    args.latent[0].z = many.data();
    run(args);
    if (z.empty()) z = many.values(), x = run.x.values();
    EXPECT_EQ(many.values(), z);
    EXPECT_EQ(run.x.values(), x);
    EXPECT_EQ(run.tick.value(), 7);
    EXPECT_EQ(run.cursor.value(), 5 + rows);
  }
}

}  // namespace
}  // namespace ganforge
