// Rows of the table: pooling, upsampling, normalisation of samples, dropout.
#include "tests/op_harness.h"

#include <ganforge/downsample.h>

// clang-format off
namespace ganforge::op_test {
namespace {

const Activation no_act, leaky{Activation::Kind::leaky_relu, 0.2f}, relu_act{Activation::Kind::leaky_relu, 0.0f}, tanh_act{Activation::Kind::tanh},
    sigmoid_act{Activation::Kind::sigmoid};
using Sizes = std::array<std::int64_t, 2>;

struct Pool {
  const char* name;
  std::int64_t n, h, w, c;
  Sizes window, stride;
  Input x() const { return f32(n, h, w, c); }
};

const Pool pools[] = {
  {"2×2", 2, 4, 6, 8, {2, 2}, {2, 2}},
  {"2×2 of one channel, odd size", 3, 5, 7, 1, {2, 2}, {2, 2}},
  {"2×2 of three channels", 1, 6, 5, 3, {2, 2}, {2, 2}},
  {"2×2 wide", 2, 3, 4, 33, {2, 2}, {2, 2}},
  {"3×2 that overlap", 2, 7, 5, 8, {3, 2}, {2, 1}},
  {"3×3 of 33 channels that overlap", 1, 5, 6, 33, {3, 3}, {2, 2}},
  {"2×1 with gaps", 2, 8, 7, 3, {2, 1}, {3, 4}},
  {"all of an image", 3, 3, 4, 8, {3, 4}, {3, 4}},
  {"1×1", 2, 3, 3, 4, {1, 1}, {1, 1}},
};

void add_pools(std::vector<OpCase>& rows) {
  for (const Pool& pool : pools) {
    const auto averaged = [pool](const Values& in) { return Values{avg_pool2d(in[0], pool.window, pool.stride)}; };
    const auto largest = [pool](const Values& in) { return Values{max_pool2d(in[0], pool.window, pool.stride)}; };
    const Options wrong{.kernel = true, .bad = {{f32(2, pool.window[0] - 1, 9, 3)}, {f32(2, 9, pool.window[1] - 1, 3)}, {f32(2, 9, 9)}, {f32()}, {i32({2, 9, 9, 3}, 0, 1)}}};
    rows.push_back({std::string("avg_pool2d ") + pool.name, {pool.x()}, averaged, wrong});
    rows.push_back({std::string("max_pool2d ") + pool.name, {pool.x().distinct()}, largest, wrong});
  }
  rows.insert(rows.end(), {
    // Ties without a kink: every place of a window has the same number, whatever it is.
    {"max_pool2d of equal pixels", {f32(2, 2, 3, 5)}, [](const Values& in) { return Values{max_pool2d(upsample_nearest(in[0], 4), {2, 2}, {2, 2})}; }, {.kernel = true}},
    {"gradient of max_pool2d, which has an adjoint", {f32(2, 5, 4, 33).distinct(), f32(2, 2, 3, 33)}, [](const Values& in) { return grad({max_pool2d(in[0], {3, 2}, {2, 1})}, {in[1]}, {in[0]}); }, {.kernel = true}},
    {"avg_pool2d of nothing", {f32(0, 4, 4, 3)}, [](const Values& in) { return Values{avg_pool2d(in[0])}; }, {.kernel = true}},
    {"global_avg_pool", {f32(3, 5, 4, 33)}, [](const Values& in) { return Values{global_avg_pool(in[0])}; }, {.bad = {{f32(3, 5, 4)}, {f32(3, 0, 4, 2)}}}},
    {"global_avg_pool of one channel", {f32(1, 7, 3, 1)}, [](const Values& in) { return Values{global_avg_pool(in[0])}; }},
  });
}

void add_upsampling(std::vector<OpCase>& rows) {
  const Options wrong{.kernel = true, .bad = {{f32(2, 3, 3)}, {f32(2, 0, 3, 1)}, {i32({2, 3, 3, 1}, 0, 1)}}};
  const auto nearest = [](std::int64_t f) { return [f](const Values& in) { return Values{upsample_nearest(in[0], f)}; }; };
  const auto bilinear = [](std::int64_t f) { return [f](const Values& in) { return Values{upsample_bilinear(in[0], f)}; }; };
  for (const auto& [name, shape, factor] : {std::tuple{"by 2", Shape{2, 3, 4, 8}, 2}, {"by 2 of one channel", Shape{3, 5, 1, 1}, 2}, {"by 2 of three channels", Shape{1, 1, 1, 3}, 2},
                                            {"by 2 wide", Shape{1, 2, 3, 33}, 2}, {"by 3", Shape{2, 4, 2, 3}, 3}, {"by 4", Shape{1, 3, 2, 8}, 4}, {"by 5", Shape{1, 2, 4, 1}, 5}}) {
    const Input x{.type = {DType::float32, shape}};
    rows.push_back({std::string("upsample_nearest ") + name, {x}, nearest(factor), wrong});
    rows.push_back({std::string("upsample_bilinear ") + name, {x}, bilinear(factor), wrong});
    const Input fine{.type = {DType::float32, {shape[0], shape[1] * factor, shape[2] * factor, shape[3]}}};
    rows.push_back({std::string("downsample_bilinear ") + name, {fine}, [f = factor](const Values& in) { return Values{downsample_bilinear(in[0], f)}; },
                    {.kernel = true, .bad = {{f32(2, factor + 1, factor, 1)}, {f32(2, factor, factor)}, {f32(2, 0, factor, 1)}}}});
  }
  const auto shuffle = [](std::int64_t f) { return [f](const Values& in) { return Values{pixel_shuffle(in[0], f) * 2.0}; }; };
  rows.insert(rows.end(), {
    {"upsample by one", {f32(2, 3, 4, 1)}, [](const Values& in) { return Values{upsample_nearest(in[0], 1) * upsample_bilinear(in[0], 1)}; }},
    {"upsample and pool", {f32(2, 3, 4, 8)}, [](const Values& in) { return Values{avg_pool2d(square(upsample_bilinear(in[0], 2)))}; }, {.kernel = true}},
    {"pixel_shuffle by 2", {f32(2, 3, 5, 12)}, shuffle(2), {.bad = {{f32(2, 3, 5, 6)}, {f32(2, 3, 4)}}}},
    {"pixel_shuffle by 3 to one channel", {f32(1, 2, 3, 9)}, shuffle(3)},
    {"pixel_shuffle by one", {f32(1, 2, 3, 3)}, shuffle(1)},
  });
}

void add_norms(std::vector<OpCase>& rows) {
  struct Case {
    const char* name;
    Shape x;
    std::int64_t groups;
    Activation act = {};
  };
  const auto of = [](const Shape& x) {
    const Input channels{.type = {DType::float32, {x[-1]}}};
    return Inputs{{.type = {DType::float32, x}}, channels, channels};
  };
  for (const Case& c : std::initializer_list<Case>{
           {"two groups", {2, 3, 4, 8}, 2}, {"groups of three channels, leaky_relu", {3, 2, 3, 33}, 11, leaky}, {"wide groups", {1, 5, 3, 132}, 2, tanh_act},
           {"many narrow groups", {2, 3, 3, 72}, 36, relu_act}, {"groups of a sequence", {2, 17, 6}, 3, sigmoid_act}, {"more groups than a block takes", {1, 3, 2, 40}, 40}}) {
    const auto build = [c](const Values& in) { return Values{group_norm(in[0], c.groups, in[1], in[2], 1e-3f, c.act)}; };
    rows.push_back({std::string("group_norm ") + c.name, of(c.x), build, {.kernel = true, .bad = {of({2, 3, 3, 1}), {f32(33), f32(33), f32(33)}, {f32(0, 72), f32(72), f32(72)}, {f32(2, 3, 72), f32(72), f32(71)}, {f32(2, 3, 72), f32(1, 72), f32(72)}, {f32(2, 3, 72), f32(72), i32({72}, 0, 1)}}}});
  }
  for (const auto& [x, act] : {std::pair{Shape{2, 4, 5, 8}, no_act}, {Shape{3, 7, 3, 1}, leaky}, {Shape{1, 5, 5, 33}, tanh_act}, {Shape{2, 9, 8, 3}, relu_act}, {Shape{1, 40, 1, 4}, sigmoid_act}, {Shape{1, 30, 30, 32}, tanh_act}}) {
    const auto build = [act](const Values& in) { return Values{instance_norm(in[0], in[1], in[2], 1e-3f, act)}; };
    rows.push_back({"instance_norm " + x.str(), of(x), build, {.kernel = true, .bad = {{f32(3), f32(3), f32(3)}, {f32(), f32(), f32()}, {f32(2, 3, 3, 8), f32(8), f32(7)}}}});
  }
  for (const auto& [x, act] : {std::pair{Shape{3, 17}, no_act}, {Shape{2, 64}, leaky}, {Shape{1, 3, 2, 8}, tanh_act}, {Shape{2, 5, 4, 1}, no_act}, {Shape{2, 3, 3, 33}, relu_act}, {Shape{1, 2065}, leaky}, {Shape{2, 2, 2060}, no_act}}) {
    const auto build = [act](const Values& in) { return Values{layer_norm(in[0], in[1], in[2], 1e-5f, act)}; };
    rows.push_back({"layer_norm " + x.str(), of(x), build, {.kernel = true, .bad = {{f32(3), f32(3), f32(3)}, {f32(2, 8), f32(8), f32(2, 8)}}}});
  }
  Inputs with_cotangent = of({2, 3, 3, 8});
  with_cotangent.push_back(f32(2, 3, 3, 8));
  rows.push_back({"gradient of group_norm", with_cotangent, [](const Values& in) { return grad({group_norm(in[0], 2, in[1], in[2], 1e-3f, leaky)}, {in[3]}, {in[0], in[1], in[2]}); }, {.kernel = true}});
}

void add_dropout(std::vector<OpCase>& rows) {
  const auto drop = [](float rate) { return [rate](const Values& in) { return Values{dropout(in[0], rate, cast(in[1], DType::int64), 7, 3)}; }; };
  const Input tick = i32({}, 5, 5);
  for (const Shape& shape : {Shape{2, 3, 5, 8}, Shape{17}, Shape{}, Shape{3, 2}, Shape{40, 33}})
    rows.push_back({"dropout " + shape.str(), {{.type = {DType::float32, shape}}, tick}, drop(0.3f), {.kernel = true, .bad = {{f32(3), i32({1}, 0, 1)}, {i32({3}, 0, 1), tick}}}});
  rows.push_back({"dropout of no number", {f32(3, 5), tick}, drop(0), {}});
  rows.push_back({"dropout of nearly everything", {f32(30, 5), tick}, drop(0.9f), {.kernel = true}});
}

}  // namespace

std::vector<OpCase> image_op_cases() {
  std::vector<OpCase> rows;
  add_pools(rows);
  add_upsampling(rows);
  add_norms(rows);
  add_dropout(rows);
  return rows;
}

}  // namespace ganforge::op_test
