// Ops that make numbers from counters, and what survives a run: every random number is a function of its counter, so
// each has a reference on the host, to the bit; and a graph that bakes a counter in shows when it is run again.
#include "kernels/prologue.h"
#include "kernels/random.h"
#include "tests/devices.h"

#include <ganforge/ops.h>
#include <ganforge/program.h>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <set>
#include <string>
#include <vector>

namespace ganforge {
namespace {

using Floats = std::vector<float>;
using Ints = std::vector<std::int32_t>;

const Type counter{DType::int64, {}};
const CpuStream host{1, Isa::baseline};

template <class T>
std::vector<T> download(Program& program, const std::string& name) {
  std::vector<T> values(static_cast<std::size_t>(program.output_type(name).shape.elements()));
  program.download(name, values.data(), values.size() * sizeof(T));
  return values;
}

Floats host_uniform(std::uint64_t seed, int draw, std::int64_t tick, std::size_t n, float low, float high) {
  Floats values(n);
  uniform(host, {seed, purpose_noise, static_cast<std::uint32_t>(draw), 0}, &tick, low, high, values.data(),
          static_cast<std::int64_t>(n));
  return values;
}
Floats host_normal(std::uint64_t seed, int draw, std::int64_t tick, std::size_t n, float mean = 0, float stddev = 1) {
  Floats values(n);
  normal(host, {seed, purpose_noise, static_cast<std::uint32_t>(draw), 0}, &tick, mean, stddev, values.data(),
         static_cast<std::int64_t>(n));
  return values;
}

/// A data set of `count` samples, no two alike, and labels.
struct Data {
  Data(std::int64_t count, std::int64_t sample)
      : pixels(static_cast<std::size_t>(count * sample)), labels(static_cast<std::size_t>(count)) {
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
    std::iota(labels.begin(), labels.end(), 100);
  }
  std::vector<std::uint8_t> pixels;
  Ints labels;
};
struct HostBatch {
  Floats x;
  Ints labels;
  std::int64_t new_cursor = 0;
};
HostBatch host_batch(const Data& data, std::int64_t cursor, std::int64_t rows, std::uint64_t seed, float scale,
                     float shift) {
  const auto count = static_cast<std::int64_t>(data.labels.size()),
             sample = static_cast<std::int64_t>(data.pixels.size()) / count;
  HostBatch batch{Floats(static_cast<std::size_t>(rows * sample)), Ints(static_cast<std::size_t>(rows))};
  unsigned ticket = 0;
  draw_batch(host, {data.pixels.data(), data.labels.data(), &cursor, batch.x.data(), batch.labels.data(),
                    &batch.new_cursor, count, sample, rows, scale, shift, seed, &ticket});
  return batch;
}

TEST(SourceOps, UniformAndNormalAreTheHostsToTheBit) {
  for (Device& device : devices())
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{17}, Shape{3, 5}, Shape{129, 33}}) {
      const auto n = static_cast<std::size_t>(shape.elements());
      Graph graph;
      const Value tick = graph.input("tick", counter);
      graph.output("u", uniform(tick, 7, 3, shape, -2, 5));
      graph.output("n", normal(tick, 7, 4, shape, 0.5f, 2));
      graph.output("same", uniform(tick, 7, 3, shape, -2, 5));
      Program program = compile(device, graph);
      for (const std::int64_t t : {std::int64_t(0), std::int64_t(1), std::int64_t(1) << 40}) {
        program.upload("tick", &t, sizeof t);
        program.run();
        EXPECT_EQ(program.floats("u"), host_uniform(7, 3, t, n, -2, 5)) << device.name() << shape.str();
        EXPECT_EQ(program.floats("n"), host_normal(7, 4, t, n, 0.5f, 2)) << device.name() << shape.str();
        EXPECT_EQ(program.floats("same"), program.floats("u"));
      }
    }
}

TEST(SourceOps, DrawsOfDifferentNumbersSeedsAndTicksDiffer) {
  Graph graph;
  const Value tick = graph.input("tick", counter);
  graph.output("a", normal(tick, 1, graph.fresh_number(), {100}));
  graph.output("b", normal(tick, 1, graph.fresh_number(), {100}));
  graph.output("c", normal(tick, 2, 0, {100}));
  Program program = compile(devices()[0], graph);
  std::set<Floats> seen;
  for (const std::int64_t t : {std::int64_t(0), std::int64_t(1), std::int64_t(2)}) {
    program.upload("tick", &t, sizeof t);
    program.run();
    for (const char* name : {"a", "b", "c"})
      EXPECT_TRUE(seen.insert(program.floats(name)).second) << name << " at " << t;
  }
}

TEST(SourceOps, DrawBatchIsTheHosts) {
  const Data data(23, 6);
  for (Device& device : devices())
    for (bool labelled : {true, false}) {
      Graph graph;
      const Value labels = labelled ? graph.input("labels", {DType::int32, {23}}) : Value();
      const Batch batch = draw_batch(graph.input("cursor", counter), graph.input("data", {DType::uint8, {23, 2, 3}}),
                                     labels, 9, 5, 2 / 255.0f, -1);
      EXPECT_EQ(batch.x.type(), (Type{DType::float32, {9, 2, 3}}));
      graph.output("x", batch.x);
      graph.output("cursor", batch.new_cursor);
      if (labelled) graph.output("labels", batch.labels);
      EXPECT_EQ(static_cast<bool>(batch.labels), labelled);
      Program program = compile(device, graph);
      program.upload("data", data.pixels.data(), data.pixels.size());
      if (labelled) program.upload("labels", data.labels.data(), data.labels.size() * sizeof(std::int32_t));
      for (std::int64_t cursor :
           {std::int64_t(0), std::int64_t(9), std::int64_t(18), std::int64_t(1'000'000)}) {  // 18: into the next epoch
        program.upload("cursor", &cursor, sizeof cursor);
        program.run();
        const HostBatch want = host_batch(data, cursor, 9, 5, 2 / 255.0f, -1);
        EXPECT_EQ(program.floats("x"), want.x) << device.name() << " at " << cursor;
        EXPECT_EQ(download<std::int64_t>(program, "cursor")[0], cursor + 9);
        if (labelled) {
          EXPECT_EQ(download<std::int32_t>(program, "labels"), want.labels);
        }
      }
    }
}

TEST(SourceOps, SchedulesAreTheHosts) {
  const std::vector<Schedule> schedules = {{Schedule::Kind::constant, 0.5f, 0, 0, 0},
                                           {Schedule::Kind::linear, 1, 3, 10, 20},
                                           {Schedule::Kind::cosine, 1, -1, 0, 8},
                                           {Schedule::Kind::step, 2, 5, 7, 0}};
  for (Device& device : devices()) {
    Graph graph;
    const Values values = schedule(graph.input("tick", counter), schedules);
    for (std::size_t i = 0; i < values.size(); ++i) graph.output(std::to_string(i), values[i]);
    Program program = compile(device, graph);
    for (const std::int64_t t : {0, 4, 6, 7, 8, 10, 15, 20, 99}) {
      program.upload("tick", &t, sizeof t);
      program.run();
      float want[4];
      float* const at[] = {&want[0], &want[1], &want[2], &want[3]};
      schedule(host, schedules.data(), 4, &t, at);
      for (std::size_t i = 0; i < 4; ++i) {
        const float got = program.floats(std::to_string(i))[0];
        EXPECT_TRUE(std::abs(got - want[i]) <= 1e-6f)
            << "schedule " << i << " at " << t << ": " << got << ' ' << want[i];
      }
      EXPECT_FLOAT_EQ(want[1], t <= 10 ? 1 : t >= 20 ? 3 : 2);
      EXPECT_NEAR(want[2], t >= 8 ? -1 : std::cos(3.14159265 * static_cast<double>(t) / 8), 1e-6);
      EXPECT_EQ(want[3], t < 7 ? 2 : 5);
    }
  }
}

TEST(SourceOps, ASchedulesHalfLifeComesOutAsADecay) {
  for (const float half_life : {0.0f, 1e-3f, 0.009f, 0.1f, 0.5f, 1.0f, 3.0f, 78125.0f, 1e9f}) {
    const Schedule wanted{.from = half_life, .half_life = true};
    for (Device& device : devices()) {
      Graph graph;
      graph.output("decay", schedule(graph.input("tick", counter), {wanted})[0]);
      Program program = compile(device, graph);
      const std::int64_t tick = 3;
      program.upload("tick", &tick, sizeof tick);
      program.run();
      EXPECT_FLOAT_EQ(program.floats("decay")[0],
                      half_life > 0 ? static_cast<float>(std::exp2(-1.0 / double(half_life))) : 0)
          << half_life;
    }
  }
}

TEST(SourceOps, BadShapesThrow) {
  Graph graph;
  const Value tick = graph.input("tick", counter), number = graph.input("x", {DType::float32, {}});
  const Value vector = graph.input("v", {DType::int64, {1}}), data = graph.input("data", {DType::uint8, {5, 3}});
  const Value labels = graph.input("labels", {DType::int32, {4}}), none = graph.input("none", {DType::uint8, {0, 3}});
  EXPECT_THROW(uniform(number, 0, 0, {3}), ShapeError);
  EXPECT_THROW(normal(vector, 0, 0, {3}), ShapeError);
  EXPECT_THROW(schedule(number, {{}}), ShapeError);
  EXPECT_THROW(schedule(tick, {}), ShapeError);
  EXPECT_THROW(schedule(tick, std::vector<Schedule>(max_schedules + 1)), ShapeError);
  EXPECT_THROW(draw_batch(tick, data, labels, 2, 0, 1, 0), ShapeError);
  EXPECT_THROW(draw_batch(tick, none, {}, 2, 0, 1, 0), ShapeError);
  EXPECT_THROW(draw_batch(tick, number, {}, 2, 0, 1, 0), ShapeError);
  EXPECT_THROW(draw_batch(tick, data, {}, -1, 0, 1, 0), ShapeError);
  EXPECT_THROW(draw_batch(number, data, {}, 2, 0, 1, 0), ShapeError);
  EXPECT_THROW(iota(graph, {DType::uint8, {3}}, 0), ShapeError);
  EXPECT_THROW(iota(graph, {DType::float32, {3}}, 1), ShapeError);
  EXPECT_THROW(iota(graph, {DType::float32, {}}, 0), ShapeError);
}

TEST(SourceOps, NoGradientGoesIntoSources) {
  Graph graph;
  const Value tick = graph.input("tick", counter), x = graph.input("x", {DType::float32, {4}});
  const Value noise = normal(tick, 0, 0, {4}), line = iota(graph, x.type(), 0);
  const Values g = grad(sum(x * noise * line), {x, noise, tick});
  EXPECT_TRUE(g[0]);
  EXPECT_TRUE(g[1]) << "with respect to the numbers themselves there is one";
  EXPECT_FALSE(g[2]);
}

// --- what survives a run
// ------------------------------------------------------------------------------------------------
/// Both ways of running a program.
const CompileOptions ways[] = {{.capture = true}, {.capture = false}, {.unplanned = true}};

TEST(Replay, DrawsFollowTheTick) {
  for (Device& device : devices())
    for (const CompileOptions& way : ways) {
      VariableStore store(device, 1);
      Variable& tick = store.variable("tick", counter);
      const std::int64_t start = 5;
      store.upload(tick, &start);
      Graph graph;
      const Value now = graph.read(tick);
      graph.output("z", normal(now, 3, 0, {17}));
      const Value next = cast(cast(now, DType::float32) + 1.0, DType::int64);
      graph.assign(tick, next);
      graph.output("again", normal(graph.read(tick), 3, 1, {17}));
      Program program = compile(device, graph, way);
      for (std::int64_t t = 5; t < 8; ++t) {
        program.run();
        EXPECT_EQ(program.floats("z"), host_normal(3, 0, t, 17)) << device.name();
        EXPECT_EQ(program.floats("again"), host_normal(3, 1, t + 1, 17)) << "reads the tick just assigned";
      }
      std::int64_t end;
      store.download(tick, &end);
      EXPECT_EQ(end, 8) << "compile() puts variables back";
    }
}

/// The prologue against its parts on the host, over five runs; ring rows are used again after three.
TEST(Replay, PrologueIsItsParts) {
  const Data data(11, 5);
  const std::vector<Schedule> schedules = {{Schedule::Kind::linear, 0, 4, 0, 4}};
  const Type statistics_type{DType::float32, {statistics_slots * statistics_stride}};
  for (Device& device : devices())
    for (const CompileOptions& way : ways)
      for (bool labelled : {true, false}) {
        VariableStore store(device, 1);
        Variable& tick = store.variable("tick", counter);
        Variable& cursor = store.variable("cursor", counter);
        Variable& statistics = store.variable("statistics", statistics_type);
        Variable& ring = store.variable("ring", {DType::float32, {3, statistics_slots}});
        Variable& ring_tick = store.variable("ring_tick", {DType::int64, {3}});
        Variable& pixels = store.variable("pixels", {DType::uint8, {11, 5}});
        Variable& classes = store.variable("classes", {DType::int32, {11}});
        store.upload(pixels, data.pixels.data());
        store.upload(classes, data.labels.data());
        Graph graph;
        PrologueOptions options;
        options.seed = 9;
        options.rows = 4;
        options.scale = 0.5f;
        options.shift = 1;
        options.latents = {{{4, 3}}, {{7}, true, -1, 1}};
        options.schedules = schedules;
        options.draws = {2, 5};
        const PrologueResult p = prologue(
            {graph.read(tick), graph.read(cursor), graph.read(statistics), graph.read(ring), graph.read(ring_tick)},
            graph.read(pixels), labelled ? graph.read(classes) : Value(), options);
        graph.assign(tick, p.state.tick);
        graph.assign(cursor, p.state.cursor);
        graph.assign(ring, p.state.ring);
        graph.assign(ring_tick, p.state.ring_tick);
        // What the step reports: its tick, everywhere.
        graph.assign(statistics, broadcast(cast(p.state.tick, DType::float32), statistics_type.shape));
        graph.output("x", p.x);
        if (labelled) graph.output("labels", p.labels);
        graph.output("z0", p.latents[0]);
        graph.output("z1", p.latents[1]);
        graph.output("lr", p.schedules[0]);
        Program program = compile(device, graph, way);
        for (std::int64_t t = 0; t < 5; ++t) {
          SCOPED_TRACE(device.name() + ", run " + std::to_string(t));
          program.run();
          const HostBatch want = host_batch(data, 4 * t, 4, 9, 0.5f, 1);
          EXPECT_EQ(program.floats("x"), want.x);
          if (labelled) {
            EXPECT_EQ(download<std::int32_t>(program, "labels"), want.labels);
          }
          EXPECT_EQ(program.floats("z0"), host_normal(9, 2, t, 12));
          EXPECT_EQ(program.floats("z1"), host_uniform(9, 5, t, 7, -1, 1));
          EXPECT_NEAR(program.floats("lr")[0], static_cast<double>(t), 1e-6);
          std::int64_t ticks, cursors, rows[3];
          store.download(tick, &ticks);
          store.download(cursor, &cursors);
          store.download(ring_tick, rows);
          EXPECT_EQ(ticks, t + 1);
          EXPECT_EQ(cursors, 4 * (t + 1));
          Floats filed(3 * statistics_slots);
          store.download(ring, filed.data());
          for (std::int64_t row = 0; row < 3; ++row) {
            // Row r holds the latest run that was filed and whose number less one leaves r.
            std::int64_t latest = 0;
            for (std::int64_t k = 1; k <= t; ++k)
              if ((k - 1) % 3 == row) latest = k;
            EXPECT_EQ(rows[row], latest);
            for (std::int64_t slot = 0; slot < statistics_slots; ++slot)
              EXPECT_EQ(filed[static_cast<std::size_t>(row * statistics_slots + slot)], static_cast<float>(latest));
          }
        }
      }
}

TEST(Replay, OptimiserStateCarriesOver) {
  const auto train = [](Device& device, const CompileOptions& way) {
    VariableStore store(device, 1);
    const Type flat{DType::float32, {32}};
    Variable &w = store.variable("w", flat), &m = store.variable("m", flat), &v = store.variable("v", flat),
             &t = store.variable("t", {DType::float32, {}});
    Graph graph;
    const Value x = graph.read(w), target = iota(graph, flat, 0);
    const Value loss = sum(square(x - target));
    const AdamState next = adam_step({x, graph.read(m), graph.read(v), graph.read(t), {}}, grad(loss, {x})[0],
                                     constant(graph, 0.5, {DType::float32, {}}), {});
    graph.assign(w, next.w);
    graph.assign(m, next.m);
    graph.assign(v, next.v);
    graph.assign(t, next.t);
    graph.output("loss", loss);
    Program program = compile(device, graph, way);
    Floats result;
    for (int i = 0; i < 4; ++i) {
      program.run();
      result.push_back(program.floats("loss")[0]);
    }
    for (Variable* variable : {&w, &m, &v}) {
      Floats values(32);
      store.download(*variable, values.data());
      result.insert(result.end(), values.begin(), values.end());
    }
    float steps;
    store.download(t, &steps);
    EXPECT_EQ(steps, 4);
    EXPECT_NEAR(result[4 + 31], 4 * 0.5, 0.05) << "Adam's first steps are of size lr";
    return result;
  };
  for (Device& device : devices()) {
    const Floats captured = train(device, ways[0]);
    EXPECT_LT(captured[1], captured[0]);
    EXPECT_LT(captured[3], captured[2]);
    EXPECT_EQ(train(device, ways[0]), captured) << "again, on " << device.name();
    EXPECT_EQ(train(device, ways[1]), captured) << "eager, on " << device.name();
    EXPECT_EQ(train(device, ways[2]), captured) << "unplanned, on " << device.name();
  }
}

}  // namespace
}  // namespace ganforge
