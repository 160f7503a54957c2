#include "bench/op_bench.h"
#include "kernels/prologue.h"
#include "tests/op_harness.h"

#include <ganforge/ops.h>

#include <fmt/format.h>

namespace ganforge::bench {
namespace {

constexpr Activation leaky = {Activation::Kind::leaky_relu, 0.2f};
constexpr Activation rectified = {Activation::Kind::leaky_relu, 0.0f};
constexpr Activation hyperbolic = {Activation::Kind::tanh};

Value floats(Graph& graph, const std::string& name, const Shape& shape) {
  return graph.input(name, {DType::float32, shape});
}

// --- linear layers ---
struct LinearSize {
  const char* preset;
  std::int64_t rows_per_image;  ///< 2: D sees real and fake images together
  std::int64_t in, out;
  Activation activation;
};

const LinearSize linear_sizes[] = {
    {"seed-dense", 1, 100, 128, leaky}, {"seed-dense", 1, 128, 128, leaky}, {"seed-dense", 1, 128, 784, hyperbolic},
    {"seed-dense", 2, 784, 128, leaky}, {"seed-dense", 2, 128, 1, {}},      {"dcgan-28", 1, 100, 6272, {}},
    {"dcgan-28", 2, 6272, 1, {}},
};

void add_linear(std::vector<Row>& rows, std::int64_t batch) {
  for (const LinearSize& s : linear_sizes) {
    const std::int64_t n = s.rows_per_image * batch;
    const std::string size = fmt::format("{}/{}x{}_to_{}", s.preset, n, s.in, s.out);
    const Shape x{n, s.in}, w{s.out, s.in}, z{n, s.out};
    rows.push_back({"linear/" + size, [=](Graph& g, VariableStore&) {
                      g.output("y",
                               linear(floats(g, "x", x), floats(g, "w", w), floats(g, "b", {s.out}), s.activation));
                    }});
    rows.push_back({"linear_input_grad/" + size, [=](Graph& g, VariableStore&) {
                      g.output("dx", linear_input_grad(floats(g, "dz", z), floats(g, "w", w)));
                    }});
    rows.push_back({"linear_weight_grad/" + size, [=](Graph& g, VariableStore&) {
                      const auto [dw, db] = linear_weight_grad(floats(g, "dz", z), floats(g, "x", x));
                      g.output("dw", dw);
                      g.output("db", db);
                    }});
    // The same products by the library, OpenBLAS or cuBLASLt: without bias and activation.
    const auto product = [&](const std::string& name, const Shape& a, const Shape& b, bool ta, bool tb) {
      rows.push_back({name + "/" + size + "/matmul", [=](Graph& g, VariableStore&) {
                        g.output("c", matmul(floats(g, "a", a), floats(g, "b", b), ta, tb));
                      }});
    };
    product("linear", x, w, false, true);
    product("linear_input_grad", z, w, false, false);
    product("linear_weight_grad", z, x, true, false);
  }
}

// --- convolutions, in the direction of the discriminator; a generator's is conv2d_input of the mirrored layer ---
struct ConvSize {
  const char* preset;
  std::int64_t side, in, out, kernel, stride, padding;
};

const ConvSize conv_sizes[] = {
    {"seed-conv", 28, 1, 32, 3, 2, 1},  {"seed-conv", 14, 32, 16, 3, 2, 1}, {"seed-conv", 28, 16, 1, 3, 1, 1},
    {"seed-conv", 7, 32, 16, 3, 2, 1},  {"seed-conv", 2, 16, 1, 3, 1, 1},   {"dcgan-28", 28, 1, 64, 4, 2, 1},
    {"dcgan-28", 14, 64, 128, 4, 2, 1}, {"dcgan-32", 32, 3, 64, 4, 2, 1},   {"dcgan-32", 16, 64, 128, 4, 2, 1},
    {"dcgan-32", 8, 128, 256, 4, 2, 1}, {"dcgan-32", 4, 256, 1, 4, 1, 0},   {"dcgan-32", 4, 256, 100, 4, 1, 0},
    {"dcgan-64", 64, 3, 64, 4, 2, 1},   {"dcgan-64", 32, 64, 128, 4, 2, 1}, {"dcgan-64", 16, 128, 256, 4, 2, 1},
    {"dcgan-64", 8, 256, 512, 4, 2, 1}, {"dcgan-64", 4, 512, 1, 4, 1, 0},   {"dcgan-64", 4, 512, 100, 4, 1, 0},
};

void add_conv(std::vector<Row>& rows, std::int64_t batch) {
  for (const ConvSize& s : conv_sizes) {
    const std::string size =
        fmt::format("{}/{}x{}x{}x{}_k{}s{}_to_{}", s.preset, batch, s.side, s.side, s.in, s.kernel, s.stride, s.out);
    Conv2dOptions options;
    options.stride = {s.stride, s.stride};
    options.padding = s.padding;
    const std::int64_t small = (s.side + 2 * s.padding - s.kernel) / s.stride + 1;
    const Shape x{batch, s.side, s.side, s.in}, w{s.out, s.kernel, s.kernel, s.in}, y{batch, small, small, s.out};
    rows.push_back(
        {"conv2d/" + size,
         [=](Graph& g, VariableStore&) { g.output("y", conv2d(floats(g, "x", x), floats(g, "w", w), options)); },
         true});
    rows.push_back({"conv2d_input/" + size,
                    [=](Graph& g, VariableStore&) {
                      g.output("x", conv2d_input(floats(g, "y", y), floats(g, "w", w), s.side, s.side, options));
                    },
                    true});
    rows.push_back({"conv2d_weight/" + size,
                    [=](Graph& g, VariableStore&) {
                      g.output("w", conv2d_weight(floats(g, "x", x), floats(g, "y", y), s.kernel, s.kernel, options));
                    },
                    true});
  }
}

// --- batch norm ---
struct NormSize {
  const char* preset;
  std::int64_t side, channels;  ///< side 0: a dense layer
  int groups;                   ///< 2: D's, real and fake images apart
  Activation activation;
};

const NormSize norm_sizes[] = {
    {"seed-dense", 0, 128, 1, {}},      {"dcgan-28", 7, 128, 1, rectified}, {"dcgan-28", 14, 64, 1, rectified},
    {"dcgan-28", 7, 128, 2, leaky},     {"dcgan-32", 4, 256, 1, rectified}, {"dcgan-32", 8, 128, 1, rectified},
    {"dcgan-32", 16, 64, 1, rectified}, {"dcgan-32", 8, 128, 2, leaky},     {"dcgan-32", 4, 256, 2, leaky},
    {"dcgan-64", 4, 512, 1, rectified}, {"dcgan-64", 8, 256, 1, rectified}, {"dcgan-64", 16, 128, 1, rectified},
    {"dcgan-64", 32, 64, 1, rectified}, {"dcgan-64", 16, 128, 2, leaky},    {"dcgan-64", 8, 256, 2, leaky},
    {"dcgan-64", 4, 512, 2, leaky},
};

void add_batch_norm(std::vector<Row>& rows, std::int64_t batch) {
  for (const NormSize& s : norm_sizes) {
    const std::int64_t n = s.groups * batch;
    const Shape shape = s.side ? Shape{n, s.side, s.side, s.channels} : Shape{n, s.channels};
    const std::string size =
        fmt::format("{}/{}x{}{}", s.preset, n, s.side ? fmt::format("{}x{}x", s.side, s.side) : "", s.channels);
    const auto forward = [=](Graph& g, VariableStore& store) {
      const Type per_channel{DType::float32, {s.channels}};
      Variable& mean = store.variable("mean", per_channel);
      Variable& var = store.variable("var", per_channel);
      const BatchNormResult r = batch_norm(
          floats(g, "x", shape), floats(g, "gamma", per_channel.shape), floats(g, "beta", per_channel.shape),
          g.read(mean), g.read(var), {.eps = 1e-5f, .momentum = 0.9f, .groups = s.groups, .activation = s.activation});
      g.assign(mean, r.running_mean);
      g.assign(var, r.running_var);
      g.output("y", r.y);
      return r.y;
    };
    rows.push_back({"batch_norm/" + size, [=](Graph& g, VariableStore& store) { forward(g, store); }});
    rows.push_back({"batch_norm_and_grad/" + size, [=](Graph& g, VariableStore& store) {
                      const Value y = forward(g, store);
                      const Values gradients =
                          grad({y}, {floats(g, "dy", shape)},
                               {g.inputs().at("x"), g.inputs().at("gamma"), g.inputs().at("beta")});
                      g.output("dx", gradients[0]);
                      g.output("dgamma", gradients[1]);
                      g.output("dbeta", gradients[2]);
                    }});
  }
}

// --- the rest of a step ---
struct WholePreset {
  const char* preset;
  std::int64_t side, channels, parameters;  ///< of both networks
};

const WholePreset whole_presets[] = {{"seed-dense", 28, 1, 231'697},
                                     {"dcgan-28", 28, 1, 898'370},
                                     {"dcgan-32", 32, 3, 1'732'224},
                                     {"dcgan-64", 64, 3, 6'342'272}};

void build_adam(Graph& g, VariableStore& store, std::int64_t parameters, bool with_average) {
  const std::int64_t n = (parameters + 15) / 16 * 16;  // flat buffers are aligned
  const Type flat{DType::float32, {n}};
  Variable &w = store.variable("w", flat), &m = store.variable("m", flat), &v = store.variable("v", flat);
  Variable& t = store.variable("t", {DType::float32, {}});
  Variable* const ema = with_average ? &store.variable("ema", flat) : nullptr;
  const AdamState state =
      adam_step({g.read(w), g.read(m), g.read(v), g.read(t), ema ? g.read(*ema) : Value()}, floats(g, "g", {n}),
                constant(g, 1e-3, {DType::float32, {}}), {.beta1 = 0.5f, .ema_decay = ema ? 0.999f : 0.0f});
  if (ema) g.assign(*ema, state.ema);
  g.assign(w, state.w);
  g.assign(m, state.m);
  g.assign(v, state.v);
  g.assign(t, state.t);
}

void build_prologue(Graph& g, VariableStore& store, const WholePreset& p, std::int64_t batch) {
  constexpr std::int64_t images = 16'384, ring_size = 64;
  const Type counter{DType::int64, {}};
  Variable &tick = store.variable("tick", counter), &cursor = store.variable("cursor", counter);
  Variable& statistics = store.variable("statistics", {DType::float32, {statistics_slots * statistics_stride}});
  Variable& ring = store.variable("ring", {DType::float32, {ring_size, statistics_slots}});
  Variable& ring_tick = store.variable("ring_tick", {DType::int64, {ring_size}});
  Variable& data = store.variable("data", {DType::uint8, {images, p.side, p.side, p.channels}});
  const PrologueResult r =
      prologue({g.read(tick), g.read(cursor), g.read(statistics), g.read(ring), g.read(ring_tick)}, g.read(data), {},
               {.seed = 1,
                .rows = batch,
                .scale = 2 / 255.0f,
                .shift = -1,
                .latents = {Shape{batch, 100}},
                .schedules = {},
                .draws = {}});
  g.assign(tick, r.state.tick);
  g.assign(cursor, r.state.cursor);
  g.assign(ring, r.state.ring);
  g.assign(ring_tick, r.state.ring_tick);
  g.output("x", r.x);
  g.output("z", r.latents[0]);
}

void build_loss(Graph& g, std::int64_t logits, bool of_discriminator) {
  const Value x = floats(g, "logits", {logits, 1});
  const Value loss = of_discriminator ? discriminator_loss(x, Objective::non_saturating).loss
                                      : generator_loss(x, Objective::non_saturating);
  g.output("loss", loss);
  g.output("gradient", grad(loss, {x})[0]);
}

void add_rest(std::vector<Row>& rows, std::int64_t batch) {
  for (const WholePreset& p : whole_presets) {
    rows.push_back({fmt::format("adam/{}/{}", p.preset, p.parameters),
                    [p](Graph& g, VariableStore& store) { build_adam(g, store, p.parameters, false); }});
    rows.push_back({fmt::format("adam_and_ema/{}/{}", p.preset, p.parameters),
                    [p](Graph& g, VariableStore& store) { build_adam(g, store, p.parameters, true); }});
    rows.push_back({fmt::format("prologue/{}/{}x{}x{}x{}", p.preset, batch, p.side, p.side, p.channels),
                    [p, batch](Graph& g, VariableStore& store) { build_prologue(g, store, p, batch); }});
  }
  rows.push_back({fmt::format("discriminator_loss/all/{}", 2 * batch),
                  [batch](Graph& g, VariableStore&) { build_loss(g, 2 * batch, true); }});
  rows.push_back({fmt::format("generator_loss/all/{}", batch),
                  [batch](Graph& g, VariableStore&) { build_loss(g, batch, false); }});
}

}  // namespace

std::vector<Row> table_rows() {
  std::vector<Row> all;
  for (const op_test::OpCase& each : op_test::op_cases()) {
    Row row{"table/" + each.name,
            [each](Graph& g, VariableStore&) {
              Values x;
              for (std::size_t i = 0; i < each.inputs.size(); ++i)
                x.push_back(g.input(fmt::format("x{}", i), each.inputs[i].type));
              const Values y = each.build(x);
              for (std::size_t o = 0; o < y.size(); ++o) g.output(fmt::format("y{}", o), y[o]);
            },
            each.name.find("conv") != std::string::npos};
    for (std::size_t i = 0; i < each.inputs.size(); ++i)
      row.values[fmt::format("x{}", i)] = op_test::numbers(each.inputs[i], static_cast<unsigned>(i));
    all.push_back(std::move(row));
  }
  return all;
}

std::vector<Row> preset_rows(std::int64_t batch) {
  std::vector<Row> all;
  add_linear(all, batch);
  add_conv(all, batch);
  add_batch_norm(all, batch);
  add_rest(all, batch);
  for (Row& row : pass_rows(batch)) all.push_back(std::move(row));
  return all;
}

}  // namespace ganforge::bench
