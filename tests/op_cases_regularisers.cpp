// Rows of the table: augmentation, spectral normalisation, norms of gradients.
#include "tests/op_harness.h"

#include <ganforge/augment.h>
#include <ganforge/gradient_norm.h>
#include <ganforge/spectral_norm.h>

// clang-format off
namespace ganforge::op_test {
namespace {

/// Random numbers of U(0, 1) without a gradient, from whole ones.
Value uniforms(Value whole, Value like) {
  return cast(whole, like.type().dtype) * (1.0 / 1024);
}
Input whole_numbers(std::int64_t n) {
  return i32({n, augment_numbers}, 0, 1023);
}

void add_augmentations(std::vector<OpCase>& rows) {
  struct Case {
    const char* name;
    Shape x;
    Augmentation options;
    double probability = 0.6;
  };
  const Augmentation all{true, true, true};
  for (const Case& c : std::initializer_list<Case>{
           {"all of it", {6, 8, 8, 3}, all, 1}, {"all of it, sometimes", {6, 9, 7, 3}, all}, {"all of it, one channel", {5, 13, 9, 1}, all}, {"all of it, four channels", {4, 12, 5, 4}, all},
           {"colour", {4, 5, 6, 3}, {.color = true}}, {"colour of two channels", {3, 1, 17, 2}, {.color = true}, 1}, {"translation", {5, 16, 12, 3}, {.translation = true}}, {"cutout", {6, 7, 10, 2}, {.cutout = true}},
           {"images from 0 to 1", {4, 10, 10, 3}, {true, true, true, 0, 1}, 1}, {"a pixel", {2, 1, 1, 1}, all, 1}, {"never", {2, 5, 4, 3}, all, 0}, {"of nothing", {0, 5, 4, 3}, all}}) {
    const Input x{.type = {DType::float32, c.x}};
    const std::int64_t n = c.x[0];
    const auto build = [c](const Values& in) {
      return Values{augment(in[0], uniforms(in[1], in[0]), constant(in[0].graph(), c.probability, {in[0].type().dtype, {}}), c.options)};
    };
    rows.push_back({std::string("augment: ") + c.name, {x, whole_numbers(n)}, build, {.kernel = true, .bad = {{x, whole_numbers(n + 1)}, {x, i32({n, 9}, 0, 1)}, {f32(n, 5), whole_numbers(n)}, {f32(n, 0, 3, 1), whole_numbers(n)}}}});
  }
  rows.push_back({"augment: its adjoint", {f32(5, 9, 8, 3), whole_numbers(5)}, [all](const Values& in) {
    const Value x = constant_like(in[0], 0);
    const Value y = alias(x);
    return grad({augment(y, uniforms(in[1], in[0]), constant(in[0].graph(), 0.8, {in[0].type().dtype, {}}), all)}, {in[0]}, {y});
  }, fused});
}

void add_spectral_norm(std::vector<OpCase>& rows) {
  const auto iterate = [](const Values& in) { const PowerIteration i = power_iteration(in[0], in[1]); return Values{i.u, i.v, i.sigma}; };
  // σ as the three make it; positive numbers keep it away from 0.
  const auto normalise = [](const Values& in) {
    const std::int64_t out = in[0].shape()[0];
    const Value sigma = reshape(matmul(matmul(reshape(in[1], {1, out}), reshape(in[0], {out, -1})), reshape(in[2], {-1, 1})), Shape{});
    return Values{spectral_normalise(in[0], {in[1], in[2], sigma})};
  };
  for (const Shape& w : {Shape{5, 7}, Shape{3, 2, 2, 3}, Shape{1, 70}, Shape{70, 1}, Shape{33, 130}, Shape{1}}) {
    const Input matrix = Input{.type = {DType::float32, w}}.in(0.2, 1);
    const Input u = f32(w[0]).in(0.2, 1), v = f32(w.elements() / w[0]).in(0.2, 1);
    rows.push_back({"power_iteration " + w.str(), {matrix, u}, iterate, {.kernel = true, .differentiable = false, .bad = {{matrix, f32(w[0] + 1)}, {matrix, f32(w[0], 1)}, {f32(), f32()}, {f32(0, 3), f32(0)}}}});
    if (w.elements() > 1)  // else the gradient is nothing but rounding
      rows.push_back({"spectral_normalise " + w.str(), {matrix, u, v}, normalise, {.kernel = true, .bad = {{matrix, u, f32(v.type.shape[0] + 1)}}}});
  }
  rows.push_back({"spectral_normalise of three layers", {f32(4, 6).in(0.2, 1), f32(4).in(0.2, 1), f32(6).in(0.2, 1), f32(2, 3, 1, 3).in(0.2, 1), f32(2).in(0.2, 1), f32(9).in(0.2, 1)}, [normalise](const Values& in) {
    return Values{normalise({in[0], in[1], in[2]})[0], normalise({in[3], in[4], in[5]})[0]};
  }, fused});
}

void add_gradient_norm(std::vector<OpCase>& rows) {
  const auto scale = [](float max_norm, float factor) { return [=](const Values& in) { return Values{clip_scale(in[0], max_norm, factor)}; }; };
  rows.insert(rows.end(), {
    {"clip_scale that clips", {f32(17)}, scale(0.5f, 1), fused_bad(Inputs{f32(2, 3)}, Inputs{i32({3}, 0, 1)})},
    {"clip_scale that does not", {f32(16)}, scale(100, 1), fused},
    {"clip_scale of a long one, by a factor", {f32(40000)}, scale(2, 0.25f), fused},
  });
}

}  // namespace

std::vector<OpCase> regulariser_op_cases() {
  std::vector<OpCase> rows;
  add_augmentations(rows);
  add_spectral_norm(rows);
  add_gradient_norm(rows);
  return rows;
}

}  // namespace ganforge::op_test
