// Rows of the table: convolutions.
#include "tests/op_harness.h"

// clang-format off
namespace ganforge::op_test {
namespace {

const Activation no_act, leaky{Activation::Kind::leaky_relu, 0.2f}, tanh_act{Activation::Kind::tanh};

/// A convolution of x [n, h, w, c] to k channels by an r × s kernel.
struct Case {
  const char* name;
  std::int64_t n, h, w, c, k, r, s;
  Conv2dOptions o;

  std::int64_t p() const { return (h + o.padding.top + o.padding.bottom - o.dilation[0] * (r - 1) - 1) / o.stride[0] + 1; }
  std::int64_t q() const { return (w + o.padding.left + o.padding.right - o.dilation[1] * (s - 1) - 1) / o.stride[1] + 1; }
  Input x() const { return f32(n, h, w, c); }
  Input filter() const { return f32(k, r, s, c / o.groups); }
  Input y() const { return f32(n, p(), q(), k); }
};

const Case cases[] = {
  {"1×1", 2, 3, 4, 5, 3, 1, 1, {}},
  {"3×3 padded", 2, 5, 4, 3, 4, 3, 3, {.padding = 1}},
  {"4×4 stride 2", 2, 8, 8, 8, 16, 4, 4, {.stride = {2, 2}, .padding = 1}},
  {"4×4 stride 2, wide", 1, 8, 12, 32, 32, 4, 4, {.stride = {2, 2}, .padding = 1}},
  {"4×4 stride 2, one channel", 2, 8, 6, 1, 8, 4, 4, {.stride = {2, 2}, .padding = 1}},
  {"4×4 stride 2, three channels", 2, 6, 8, 3, 16, 4, 4, {.stride = {2, 2}, .padding = 1}},
  {"4×4 to one point", 3, 4, 4, 8, 5, 4, 4, {}},
  {"4×4 to one number", 3, 4, 4, 8, 1, 4, 4, {}},
  {"3×3 stride 2, odd size", 2, 7, 6, 4, 3, 3, 3, {.stride = {2, 2}, .padding = 1}},
  {"stride 3 that leaves a rest", 1, 8, 7, 2, 3, 2, 3, {.stride = {3, 2}}},
  {"dilated", 1, 9, 8, 3, 4, 3, 2, {.padding = {2, 1}, .dilation = {2, 3}}},
  {"groups", 2, 5, 5, 6, 4, 3, 3, {.padding = 1, .groups = 2}},
  {"groups of 16", 2, 6, 5, 32, 32, 3, 3, {.padding = 1, .groups = 2}},
  {"groups of 16, wide", 1, 2, 17, 16, 16, 2, 3, {.padding = {0, 1, 2, 0}}},
  {"depthwise, to one point", 3, 4, 4, 8, 8, 4, 4, {.groups = 8}},
  {"depthwise", 2, 5, 4, 4, 4, 3, 3, {.stride = {2, 1}, .padding = 1, .groups = 4}},
  {"uneven padding", 1, 6, 5, 3, 4, 4, 4, {.stride = {2, 2}, .padding = {1, 2, 0, 3}}},
  {"one-dimensional", 2, 1, 33, 3, 4, 1, 25, {.stride = {1, 4}, .padding = {0, 0, 10, 11}}},
};

Inputs with(Inputs in, Input more) {
  in.push_back(more);
  return in;
}

/// A halving convolution of x [n, h, w, c], or with `image` the transposed one of y, with batch norm behind it.
struct NormCase {
  const char* name;
  std::int64_t n, h, w, c, k;
  bool image, bias;
  Activation act;
  BatchNormOptions norm;
  bool kernel = true;  // on CUDA

  Case conv() const { return {name, n, h, w, c, k, 4, 4, {.stride = {2, 2}, .padding = 1}}; }
};
const NormCase norm_cases[] = {
  {"leaky_relu", 3, 4, 6, 8, 12, false, false, no_act, {.eps = 1e-5f, .momentum = 0.9f, .activation = leaky}},
  {"bias and tanh before", 2, 6, 4, 5, 8, false, true, tanh_act, {}},
  {"two groups", 4, 4, 4, 8, 36, false, false, no_act, {.groups = 2, .activation = leaky}},
  {"transposed", 3, 4, 6, 12, 8, true, false, no_act, {.activation = leaky}},
  {"transposed, two groups, bias", 4, 4, 4, 36, 7, true, true, leaky, {.groups = 2, .activation = tanh_act}},
  {"several tiles", 34, 4, 6, 68, 20, true, false, no_act, {.groups = 2, .activation = tanh_act}},
  {"odd channels", 2, 4, 4, 8, 5, false, false, no_act, {.activation = leaky}, false},
};

void norm_rows(std::vector<OpCase>& rows) {
  for (const NormCase& z : norm_cases) {
    const Case c = z.conv();
    const std::int64_t channels = z.image ? z.c : z.k;
    Inputs in = {z.image ? c.y() : c.x(), c.filter()};
    if (z.bias) in.push_back(f32(channels));
    in.insert(in.end(), {f32(channels), f32(channels), f32(channels), f32(channels).in(0.3, 2)});
    const auto conv = [z, c](const Values& v) {
      const Value b = z.bias ? v[2] : Value();
      return z.image ? conv2d_input(v[0], v[1], c.h, c.w, c.o, b, z.act) : conv2d(v[0], v[1], c.o, b, z.act);
    };
    const auto norm = [z](Value h, const Values& v, std::size_t first) { return batch_norm(h, v[first], v[first + 1], v[first + 2], v[first + 3], z.norm); };
    Options options{.kernel = true, .either = "conv2d_weight_grad ", .kinks = 32};
    (z.kernel ? options.cuda_only : options.expanded) = "conv_norm";
    const std::string name = z.name;
    Inputs bad = in;
    bad.back() = f32(channels + 1);
    options.bad = {bad};
    rows.push_back({"conv_norm " + name, in, [=](const Values& v) { return Values{norm(conv(v), v, v.size() - 4).y}; }, options});
    options.bad = {};
    rows.push_back({"conv_norm, all results, " + name, in, [=](const Values& v) {
      const Value h = conv(v);
      const auto r = norm(h, v, v.size() - 4);
      return Values{h, r.y, r.mean, r.var, r.running_mean, r.running_var};
    }, options});
    // The gradient of a batch norm of a given image, whose result goes into the other convolution.
    if (z.bias) continue;
    const Inputs behind = {z.image ? c.x() : c.y(), c.filter(), f32(channels), f32(channels), f32(channels), f32(channels).in(0.3, 2), z.image ? c.y() : c.x()};
    rows.push_back({"conv_norm_grad " + name, behind, [=](const Values& v) {
      const Value y = norm(v[0], v, 2).y;
      const Value out = z.image ? conv2d(y, v[1], c.o) : conv2d_input(y, v[1], c.h, c.w, c.o);
      return Values{grad({out}, {v[6]}, {v[0]})[0]};
    }, options});
  }
}

}  // namespace

std::vector<OpCase> conv_op_cases() {
  const std::string weights = "conv2d_weight_grad ";  // conv_plan_cuda_test asks for its kernels
  std::vector<OpCase> rows;
  for (const Case& c : cases) {
    const auto forward = [c](Activation act) { return [c, act](const Values& in) { return Values{conv2d(in[0], in[1], c.o, in.size() > 2 ? in[2] : Value(), act)}; }; };
    const auto input = [c](Activation act) { return [c, act](const Values& in) { return Values{conv2d_input(in[0], in[1], c.h, c.w, c.o, in.size() > 2 ? in[2] : Value(), act)}; }; };
    const auto behind = [c](Activation act) { return [c, act](const Values& in) { return Values{act_grad(conv2d_input(in[0], in[1], c.h, c.w, c.o), in[2], act)}; }; };
    const std::string name = c.name;
    const Options wrong{.bad = {{c.x(), f32(c.k, c.r, c.s, c.c + 1)}, {c.x(), f32(c.k, c.r, c.s)}, {f32(c.n, c.h, c.w), c.filter()}, {c.x(), f32(c.k, c.r + c.h + 7, c.s, c.c / c.o.groups)}}};
    const Options wrong_y{.bad = {{f32(c.n, c.p() + 1, c.q(), c.k), c.filter()}, {f32(c.n, c.p(), c.q(), c.k + 1), c.filter()}}};
    rows.push_back({"conv2d " + name, {c.x(), c.filter()}, forward(no_act), wrong});
    rows.push_back({"conv2d_input " + name, {c.y(), c.filter()}, input(no_act), wrong_y});
    rows.push_back({"conv2d_weight " + name, {c.x(), c.y()}, [c](const Values& in) { return Values{conv2d_weight(in[0], in[1], c.r, c.s, c.o)}; },
                    {.bad = {{c.x(), f32(c.n, c.p(), c.q() + 1, c.k)}, {c.x(), f32(c.n + 1, c.p(), c.q(), c.k)}}}});
    rows.push_back({"conv2d_weight_grad " + name, {c.x(), c.y()}, [c](const Values& in) { const auto [w, b] = conv2d_weight_grad(in[0], in[1], c.r, c.s, c.o); return Values{w, b}; },
                    {.kernel = true, .either = weights, .bad = {{c.x(), f32(c.n, c.p(), c.q() + 1, c.k)}}}});
    rows.push_back({"conv2d leaky_relu " + name, with({c.x(), c.filter()}, f32(c.k)), forward(leaky), {.kernel = true, .either = weights, .bad = {with({c.x(), c.filter()}, f32(c.k + 1))}, .kinks = 32}});
    rows.push_back({"conv2d_input tanh " + name, with({c.y(), c.filter()}, f32(c.c)), input(tanh_act), {.kernel = true, .bad = {with({c.y(), c.filter()}, f32(1, c.c))}}});
    rows.push_back({"conv2d_input behind leaky_relu " + name, with({c.y(), c.filter()}, c.x()), behind(leaky), {.kernel = true}});
  }
  const Case& c = cases[2];
  rows.push_back({"conv2d_input behind tanh", with({c.y(), c.filter()}, c.x()), [c](const Values& in) { return Values{act_grad(conv2d_input(in[0], in[1], c.h, c.w, c.o), in[2], tanh_act)}; }, {.kernel = true}});
  rows.push_back({"conv2d behind leaky_relu", with({c.x(), c.filter()}, c.y()), [c](const Values& in) { return Values{act_grad(conv2d(in[0], in[1], c.o), in[2], leaky)}; }, {.kernel = true}});
  norm_rows(rows);
  rows.push_back({"conv_transpose2d", {f32(2, 3, 4, 5), f32(5, 3, 3, 2)}, [](const Values& in) { return Values{conv_transpose2d(in[0], in[1], {.stride = {2, 2}, .padding = 1, .output_padding = {1, 0}})}; },
                  {.bad = {{f32(2, 3, 4, 4), f32(5, 3, 3, 2)}, {f32(2, 3, 4), f32(5, 3, 3, 2)}}}});
  return rows;
}

}  // namespace ganforge::op_test
