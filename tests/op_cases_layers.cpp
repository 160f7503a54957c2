// Rows of the table: products, layers, batch norm, losses, Adam.
#include "tests/op_harness.h"

// clang-format off
namespace ganforge::op_test {
namespace {

const Activation no_act, relu_act{Activation::Kind::leaky_relu, 0.0f}, leaky_act{Activation::Kind::leaky_relu, 0.2f},
    tanh_act{Activation::Kind::tanh}, sigmoid_act{Activation::Kind::sigmoid};

void add_products(std::vector<OpCase>& rows) {
  const auto times = [](bool ta, bool tb) { return [=](const Values& in) { return Values{matmul(in[0], in[1], ta, tb)}; }; };
  const Options wrong = bad(Inputs{f32(3, 5), f32(4, 3)}, Inputs{f32(3), f32(3)}, Inputs{f32(2, 3, 3), f32(3, 3, 3)}, Inputs{f32(3, 3), i32({3, 3}, 0, 1)});
  rows.insert(rows.end(), {
    {"matmul", {f32(3, 5), f32(5, 4)}, times(false, false), wrong},
    {"matmul aT", {f32(5, 3), f32(5, 4)}, times(true, false), wrong},
    {"matmul bT", {f32(3, 5), f32(4, 5)}, times(false, true), bad(Inputs{f32(3, 5), f32(5, 4)})},
    {"matmul aT bT", {f32(5, 3), f32(4, 5)}, times(true, true), bad(Inputs{f32(5, 3), f32(5, 4)})},
    {"matmul odd", {f32(17, 129), f32(129, 33)}, times(false, false)},
    {"matmul of ones", {f32(1, 1), f32(1, 1)}, times(false, false)},
    {"matmul by a vector", {f32(17, 9), f32(9, 1)}, times(false, false)},
    {"matmul of nothing", {f32(3, 0), f32(0, 4)}, [](const Values& in) { return Values{matmul(in[0], in[1])}; }},
    {"matmul of batches", {f32(2, 3, 5), f32(2, 5, 4)}, times(false, false), wrong},
    {"matmul of batches aT", {f32(2, 5, 3), f32(2, 5, 4)}, times(true, false)},
    {"matmul of batches bT", {f32(2, 3, 5), f32(2, 4, 5)}, times(false, true)},
    {"matmul of batches aT bT", {f32(2, 5, 3), f32(2, 4, 5)}, times(true, true)},
    {"matmul of two batch axes", {f32(2, 3, 4, 5), f32(2, 3, 5, 2)}, times(false, false), bad(Inputs{f32(2, 3, 4, 5), f32(3, 2, 5, 2)})},
    {"matmul of a batch by one", {f32(3, 4, 5), f32(5, 2)}, times(false, false)},
    {"matmul of a batch by one, bT", {f32(3, 4, 5), f32(2, 5)}, times(false, true)},
    {"matmul of one by a batch", {f32(4, 5), f32(3, 5, 2)}, times(false, false)},
    {"matmul of one by a batch, aT", {f32(5, 4), f32(3, 5, 2)}, times(true, false)},
    {"matmul of one by a batch, aT bT", {f32(5, 4), f32(3, 2, 5)}, times(true, true)},
    {"matmul of a value with itself", {f32(4, 4)}, [](const Values& in) { return Values{matmul(in[0], in[0], true, false)}; }},
  });
}

void add_linear(std::vector<OpCase>& rows) {
  const auto layer = [](Activation act) { return [act](const Values& in) { return Values{linear(in[0], in[1], in.size() > 2 ? in[2] : Value(), act)}; }; };
  const auto input_grad = [](Activation act) { return [act](const Values& in) { return Values{linear_input_grad(in[0], in[1], act ? in[2] : Value(), act)}; }; };
  const auto weight_grad = [](const Values& in) { const auto [dw, db] = linear_weight_grad(in[0], in[1]); return Values{dw, db}; };
  const auto masked = [](Activation act) { return [act](const Values& in) { return Values{act_grad(linear_input_grad(in[0], in[1]), in[2], act)}; }; };
  const Options wrong = fused_bad(Inputs{f32(5, 7), f32(3, 6), f32(3)}, Inputs{f32(5, 7), f32(3, 7), f32(4)}, Inputs{f32(7), f32(3, 7), f32(3)}, Inputs{f32(5, 7), f32(3, 7), f32(1, 3)}, Inputs{i32({5, 7}, 0, 1), f32(3, 7), f32(3)});
  const Options wrong_mask = fused_bad(Inputs{f32(5, 3), f32(3, 7), f32(5, 3)}, Inputs{f32(5, 4), f32(3, 7), f32(5, 7)}, Inputs{f32(5, 3), f32(3, 7), i32({5, 7}, 0, 1)});
  rows.insert(rows.end(), {
    {"linear", {f32(5, 7), f32(3, 7), f32(3)}, layer(no_act), wrong},
    {"linear relu", {f32(5, 7), f32(3, 7), f32(3)}, layer(relu_act), wrong},
    {"linear leaky_relu", {f32(5, 7), f32(3, 7), f32(3)}, layer(leaky_act), wrong},
    {"linear tanh", {f32(5, 7), f32(3, 7), f32(3)}, layer(tanh_act), wrong},
    {"linear sigmoid", {f32(5, 7), f32(3, 7), f32(3)}, layer(sigmoid_act), wrong},
    {"linear without bias", {f32(5, 7), f32(3, 7)}, layer(no_act), fused_bad(Inputs{f32(5, 7), f32(7, 3)}, Inputs{f32(5, 7), f32(3)})},
    {"linear without bias, leaky_relu", {f32(5, 7), f32(3, 7)}, layer(leaky_act), fused},
    {"linear without bias, tanh", {f32(5, 7), f32(3, 7)}, layer(tanh_act), fused},
    {"linear to one", {f32(17, 33), f32(1, 33), f32(1)}, layer(no_act), fused},
    {"linear from one", {f32(17, 1), f32(33, 1), f32(33)}, layer(leaky_act), fused},
    {"linear of one row", {f32(1, 129), f32(17, 129), f32(17)}, layer(tanh_act), fused},
    {"linear odd", {f32(65, 100), f32(129, 100), f32(129)}, layer(tanh_act), fused},
    {"linear even", {f32(64, 128), f32(64, 128), f32(64)}, layer(leaky_act), {.kernel = true, .kinks = 2}},
    {"linear twice", {f32(17, 20), f32(33, 20), f32(33), f32(3, 33), f32(3)}, [](const Values& in) { return Values{linear(linear(in[0], in[1], in[2], leaky_act), in[3], in[4], tanh_act)}; }, fused},
    {"linear of its own weights", {f32(5, 5)}, [](const Values& in) { return Values{linear(in[0], in[0], {}, tanh_act)}; }, fused},
    {"linear_input_grad", {f32(5, 3), f32(3, 7)}, input_grad(no_act), fused_bad(Inputs{f32(5, 4), f32(3, 7)}, Inputs{f32(5), f32(5, 7)})},
    {"linear_input_grad relu", {f32(5, 3), f32(3, 7), f32(5, 7)}, input_grad(relu_act), wrong_mask},
    {"linear_input_grad leaky_relu", {f32(5, 3), f32(3, 7), f32(5, 7)}, input_grad(leaky_act), wrong_mask},
    {"linear_input_grad tanh", {f32(5, 3), f32(3, 7), f32(5, 7)}, input_grad(tanh_act), wrong_mask},
    {"linear_input_grad sigmoid", {f32(5, 3), f32(3, 7), f32(5, 7).in(0.1, 0.9)}, input_grad(sigmoid_act), wrong_mask},
    {"linear_input_grad odd", {f32(65, 129), f32(129, 100), f32(65, 100)}, input_grad(leaky_act), fused},
    {"linear_input_grad from one", {f32(65, 1), f32(1, 33), f32(65, 33)}, input_grad(leaky_act), fused},
    {"linear_input_grad of one row", {f32(1, 17), f32(17, 1), f32(1, 1)}, input_grad(tanh_act), fused},
    {"linear_weight_grad", {f32(5, 3), f32(5, 7)}, weight_grad, fused_bad(Inputs{f32(5, 3), f32(4, 7)}, Inputs{f32(5), f32(5, 7)}, Inputs{f32(5, 3), f32(5)})},
    {"linear_weight_grad odd", {f32(65, 129), f32(65, 100)}, weight_grad, fused},
    {"linear_weight_grad to one", {f32(129, 1), f32(129, 33)}, weight_grad, fused},
    {"linear_weight_grad of one row", {f32(1, 17), f32(1, 3)}, weight_grad, fused},
    {"linear_weight_grad of a bias alone", {f32(17, 3), f32(17, 5)}, [](const Values& in) { return Values{linear_weight_grad(in[0], in[1]).second}; }, fused},
    {"act_grad into linear_input_grad, leaky_relu", {f32(5, 3), f32(3, 7), f32(5, 7)}, masked(leaky_act), fused_bad(Inputs{f32(5, 3), f32(3, 7), f32(5, 6)})},
    {"act_grad into linear_input_grad, tanh", {f32(5, 3), f32(3, 7), f32(5, 7)}, masked(tanh_act), fused},
  });
}

void add_batch_norm(std::vector<OpCase>& rows) {
  const auto train = [](BatchNormOptions options) {
    return [options](const Values& in) {
      const BatchNormResult r = batch_norm(in[0], in[1], in[2], in[3], in[4], options);
      return Values{r.y, r.mean, r.var, r.running_mean, r.running_var};
    };
  };
  const auto infer = [](Activation act) { return [act](const Values& in) { return Values{batch_norm_inference(in[0], in[1], in[2], in[3], in[4], 1e-3f, act)}; }; };
  const auto of = [](const Shape& x) {
    const Input channels{.type = {DType::float32, {x[-1]}}};
    return Inputs{{.type = {DType::float32, x}}, channels, channels, channels, channels.in(0.3, 2)};
  };
  const Options wrong = fused_bad(Inputs{f32(3), f32(3), f32(3), f32(3), f32(3)}, Inputs{f32(4, 3), f32(4), f32(3), f32(3), f32(3)}, Inputs{f32(4, 3), f32(3), f32(3), f32(3), f32(1, 3)}, Inputs{f32(4, 3), f32(3), i32({3}, 0, 1), f32(3), f32(3)}, Inputs{f32(0, 3), f32(3), f32(3), f32(3), f32(3)});
  // Two ways of getting the gradient's mask: of its own activation, and of the activation before.
  const auto absorbed = [](Activation act) {
    return [act](const Values& in) {
      const Value x = activate(in[0], act);
      return grad({batch_norm(x, in[1], in[2], in[3], in[4], {}).y}, {in[5]}, {in[0]});
    };
  };
  const auto fused_norm = [](Activation act, BatchNormOptions options) {
    return [=](const Values& in) {
      const BatchNormResult r = batch_norm(linear(in[0], in[1], in[2], act), in[3], in[4], in[5], in[6], options);
      return Values{r.y, r.mean, r.var, r.running_mean, r.running_var};
    };
  };
  const auto dense = [](const Shape& x, std::int64_t out, std::int64_t in = 0) {
    const Input channels{.type = {DType::float32, {out}}};
    return Inputs{{.type = {DType::float32, x}}, f32(out, in ? in : x[1]), channels, channels, channels, channels, channels.in(0.3, 2)};
  };
  const Options on_cuda{.kernel = true, .cuda_only = "linear_norm"};
  const Options norm_wrong{.kernel = true, .cuda_only = "linear_norm", .bad = {dense({17, 6}, 5, 7), dense({0, 7}, 5)}};
  Inputs with_cotangent = of({33, 5});
  with_cotangent.push_back(f32(33, 5));
  rows.insert(rows.end(), {
    {"batch_norm", of({17, 5}), train({}), wrong},
    {"batch_norm of one channel", of({33, 1}), train({}), fused},
    {"batch_norm of one row", of({1, 3}), train({}), fused},
    {"batch_norm of two rows", of({2, 17}), train({.eps = 0.1f}), fused},
    {"batch_norm of images", of({2, 3, 4, 5}), train({.eps = 1e-5f, .momentum = 0.9f}), fused},
    {"batch_norm wide", of({65, 129}), train({}), fused},
    {"batch_norm long", of({1000, 3}), train({}), {.kernel = true, .ulps = 200}},  // the mean is small against what it is of
    {"batch_norm in two groups", of({34, 5}), train({.groups = 2}), {.kernel = true, .bad = {of({33, 5})}}},
    {"batch_norm in two groups, leaky_relu", of({34, 33}), train({.eps = 1e-5f, .momentum = 0.5f, .groups = 2, .activation = leaky_act}), fused},
    {"batch_norm relu", of({17, 5}), train({.activation = relu_act}), fused},
    {"batch_norm leaky_relu", of({17, 5}), train({.activation = leaky_act}), fused},
    {"batch_norm tanh", of({17, 5}), train({.activation = tanh_act}), fused},
    {"batch_norm sigmoid", of({17, 5}), train({.activation = sigmoid_act}), fused},
    {"batch_norm, statistics alone", of({17, 5}), [](const Values& in) { const auto r = batch_norm(in[0], in[1], in[2], in[3], in[4], {}); return Values{r.var, r.running_mean}; }, fused},
    {"linear_norm relu", dense({17, 7}, 5), fused_norm(relu_act, {}), norm_wrong},
    {"linear_norm without bias", {f32(17, 7), f32(5, 7), f32(5), f32(5), f32(5), f32(5).in(0.3, 2)}, [](const Values& in) { return Values{batch_norm(linear(in[0], in[1], {}, {}), in[2], in[3], in[4], in[5], {}).y}; }, on_cuda},
    {"linear_norm leaky_relu", dense({33, 20}, 17), fused_norm(leaky_act, {.eps = 1e-5f, .momentum = 0.9f}), on_cuda},
    {"linear_norm tanh, then relu", dense({65, 33}, 20), fused_norm(tanh_act, {.activation = relu_act}), {.kernel = true, .cuda_only = "linear_norm", .kinks = 8}},
    {"linear_norm of one row", dense({1, 3}, 4), fused_norm(leaky_act, {}), on_cuda},
    {"linear_norm of 128 rows", dense({128, 12}, 36), fused_norm(sigmoid_act, {.activation = tanh_act}), on_cuda},
    {"linear_norm, too many rows", dense({130, 4}, 3), fused_norm(leaky_act, {}), {.kernel = true, .expanded = "linear_norm"}},
    {"linear_norm in two groups", dense({6, 4}, 3), fused_norm(leaky_act, {.groups = 2}), {.kernel = true, .expanded = "linear_norm"}},
    {"linear_norm, h and the statistics", dense({9, 4}, 3), [](const Values& in) { const Value h = linear(in[0], in[1], in[2], leaky_act); const auto r = batch_norm(h, in[3], in[4], in[5], in[6], {}); return Values{h, r.y, r.var}; }, on_cuda},
    {"linear_norm_grad behind a linear", {f32(9, 4), f32(6, 4), f32(6), f32(6), f32(6), f32(6), f32(6).in(0.3, 2), f32(5, 6), f32(9, 5)}, [](const Values& in) {
       const Value y = batch_norm(linear(in[0], in[1], in[2], leaky_act), in[3], in[4], in[5], in[6], {}).y;
       return grad({linear(y, in[7], {}, {})}, {in[8]}, {in[0], in[1], in[2], in[3], in[4]});
     }, on_cuda},
    {"batch_norm_grad behind leaky_relu", with_cotangent, absorbed(leaky_act), fused},
    {"batch_norm_grad behind tanh", with_cotangent, absorbed(tanh_act), fused},
    {"batch_norm_inference", of({17, 5}), infer(no_act), fused_bad(Inputs{f32(3), f32(3), f32(3), f32(3), f32(3)}, Inputs{f32(4, 3), f32(3), f32(3), f32(4), f32(3)})},
    {"batch_norm_inference of images", of({2, 3, 4, 5}), infer(leaky_act), fused},
    {"batch_norm_inference tanh", of({65, 33}), infer(tanh_act), fused},
    {"batch_norm_inference sigmoid", of({3, 1}), infer(sigmoid_act), fused},
  });
}

void add_losses(std::vector<OpCase>& rows) {
  const auto d_loss = [](Objective objective, float target) {
    return [=](const Values& in) { const auto r = discriminator_loss(in[0], objective, target); return Values{r.loss, r.d_real, r.d_fake, r.accuracy}; };
  };
  // Logits are multiples of ½.
  const auto on_border = [d_loss](Objective objective) { return [=](const Values& in) { return d_loss(objective, 1)({floor(in[0] * 2.0) / 2.0}); }; };
  const auto g_loss = [](Objective objective) { return [=](const Values& in) { return Values{generator_loss(in[0], objective)}; }; };
  // The mask of dx is that of the activation before.
  const auto d_head = [](Objective objective, Activation act, float target = 1) {
    return [=](const Values& in) {
      const auto r = discriminator_loss(linear(activate(in[0], act), in[1], in.size() > 2 ? in[2] : Value(), {}), objective, target);
      return Values{r.loss, r.d_real, r.d_fake, r.accuracy};
    };
  };
  const auto g_head = [](Objective objective) { return [=](const Values& in) { return Values{generator_loss(linear(in[0], in[1], in.size() > 2 ? in[2] : Value(), {}), objective)}; }; };
  const Options on_cuda{.kernel = true, .cuda_only = "head"};
  const auto g_relative = [](Objective objective) { return [=](const Values& in) { return Values{generator_loss(in[0], objective, in.size() > 1 ? in[1] : Value())}; }; };
  const Options pairs = fused_bad(Inputs{f32(7)}, Inputs{f32(7), f32(8)}, Inputs{f32(0), f32(0)});
  const Options halves = fused_bad(Inputs{f32(7)}, Inputs{f32(0)}, Inputs{i32({4}, 0, 1)}), any = fused_bad(Inputs{f32(0)}, Inputs{i32({4}, 0, 1)});
  const Input logits = f32().in(-4, 4);
  const auto of = [&](const Shape& shape) { Input input = logits; input.type.shape = shape; return Inputs{input}; };
  rows.insert(rows.end(), {
    {"discriminator_loss non_saturating", of({18}), d_loss(Objective::non_saturating, 1), halves},
    {"discriminator_loss non_saturating, smooth", of({18, 1}), d_loss(Objective::non_saturating, 0.9f), halves},
    {"discriminator_loss saturating", of({2}), d_loss(Objective::saturating, 1), halves},
    {"discriminator_loss saturating, smooth", of({258}), d_loss(Objective::saturating, 0.7f), halves},
    {"discriminator_loss least_squares", of({18}), d_loss(Objective::least_squares, 1), halves},
    {"discriminator_loss least_squares, smooth", of({34, 3, 3, 1}), d_loss(Objective::least_squares, 0.9f), halves},
    {"discriminator_loss non_saturating, on the border", of({34}), on_border(Objective::non_saturating), {.kernel = true, .differentiable = false}},
    {"discriminator_loss least_squares, on the border", of({34}), on_border(Objective::least_squares), {.kernel = true, .differentiable = false}},
    {"discriminator_loss hinge", of({34}), d_loss(Objective::hinge, 1), halves},
    {"discriminator_loss wasserstein", of({18, 1}), d_loss(Objective::wasserstein, 1), halves},
    {"discriminator_loss relativistic_paired", of({34}), d_loss(Objective::relativistic_paired, 1), halves},
    {"discriminator_loss relativistic_average", of({18}), d_loss(Objective::relativistic_average, 1), {.bad = halves.bad}},
    {"generator_loss hinge", of({17}), g_loss(Objective::hinge), any},
    {"generator_loss wasserstein", of({17}), g_loss(Objective::wasserstein), any},
    {"generator_loss relativistic_paired", {of({17})[0], of({17})[0]}, g_relative(Objective::relativistic_paired), pairs},
    {"generator_loss relativistic_average", {of({9, 1})[0], of({9})[0]}, g_relative(Objective::relativistic_average), {.bad = pairs.bad}},
    {"generator_loss non_saturating", of({17}), g_loss(Objective::non_saturating), any},
    {"generator_loss saturating", of({129, 1}), g_loss(Objective::saturating), any},
    {"generator_loss least_squares", of({1}), g_loss(Objective::least_squares), any},
    {"generator_loss of a scalar", of({}), g_loss(Objective::non_saturating), fused},
    {"head", {f32(6, 5), f32(1, 5), f32(1)}, d_head(Objective::non_saturating, no_act), {.kernel = true, .cuda_only = "head", .bad = {{f32(5, 5), f32(1, 5), f32(1)}, {f32(0, 5), f32(1, 5), f32(1)}}}},
    {"head without bias, smooth", {f32(10, 33), f32(1, 33)}, d_head(Objective::saturating, no_act, 0.9f), on_cuda},
    {"head least_squares, masked", {f32(34, 20), f32(1, 20), f32(1)}, d_head(Objective::least_squares, leaky_act), on_cuda},
    {"head masked by tanh", {f32(2, 4), f32(1, 4), f32(1)}, d_head(Objective::non_saturating, tanh_act), on_cuda},
    {"head of a long row", {f32(2, 600), f32(1, 600), f32(1)}, d_head(Objective::non_saturating, leaky_act), on_cuda},
    {"head of rows beyond the registers", {f32(2, 8200), f32(1, 8200).in(-0.05, 0.05)}, d_head(Objective::non_saturating, no_act), on_cuda},
    {"head of the generator", {f32(9, 130), f32(1, 130), f32(1)}, g_head(Objective::non_saturating), on_cuda},
    {"head of the generator, saturating", {f32(1, 3), f32(1, 3), f32(1)}, g_head(Objective::saturating), on_cuda},
    {"head of the generator, least_squares", {f32(129, 7), f32(1, 7)}, g_head(Objective::least_squares), on_cuda},
    {"head behind a linear", {f32(6, 5), f32(7, 5), f32(7), f32(1, 7), f32(1)}, [](const Values& in) { return Values{discriminator_loss(linear(linear(in[0], in[1], in[2], leaky_act), in[3], in[4], no_act), Objective::non_saturating).loss}; }, {.kernel = true, .cuda_only = "head", .ulps = 200, .kinks = 8}},  // halves of the bias gradient cancel
    {"head behind a convolution", {f32(4, 5, 5, 2), f32(3, 2, 2, 2), f32(1, 2, 2, 3)}, [](const Values& in) { return Values{discriminator_loss(conv2d(activate(conv2d(in[0], in[1], {.stride = {2, 2}}), leaky_act), in[2], {}), Objective::non_saturating).loss}; }, on_cuda},
  });
}

void add_adam(std::vector<OpCase>& rows) {
  const auto step = [](AdamOptions options) {
    return [options](const Values& in) {
      const AdamResult s = adam_step({in[0], in[2], in[3], in[4], in.size() > 6 ? in[6] : Value()}, in[1], in[5], options);
      Values out = {s.w, s.m, s.v, s.t, s.bad_w, s.bad_g};
      if (s.ema) out.push_back(s.ema);
      return out;
    };
  };
  const auto of = [](std::int64_t n, bool ema) {
    Inputs in = {f32(n), f32(n), f32(n), f32(n).in(0.3, 2), f32().in(3, 3), f32().in(0.01, 0.1)};
    if (ema) in.push_back(f32(n));
    return in;
  };
  const auto replaced = [&](std::size_t i, const Input& input) { Inputs in = of(16, true); in[i] = input; return in; };
  const Options wrong = fused_bad(replaced(1, f32(32)), replaced(2, f32(15)), replaced(4, f32(1)), replaced(5, f32(16)), replaced(6, f32(32)), replaced(0, f32(4, 4)), replaced(3, i32({16}, 0, 1)));
  rows.insert(rows.end(), {
    {"adam", of(16, false), step({}), fused},
    {"adam long", of(2064, false), step({.beta1 = 0.5f, .beta2 = 0.99f, .eps = 1e-3f}), fused},
    {"adam without momentum", of(48, false), step({.beta1 = 0.0f, .beta2 = 0.9f}), fused},
    {"adam with ema", of(16, true), step({.beta1 = 0.5f, .ema_decay = 0.9f}), wrong},
    {"adam with ema, long", of(1040, true), step({.ema_decay = 0.999f}), fused},
    {"adam in segments", of(80, true), step({.beta1 = 0.5f, .ema_decay = 0.9f, .segments = {{16, 0.5f, 0.1f}, {48, 2.0f, 0.0f}, {64, 0.0f, 0.3f}}}), {.kernel = true, .bad = {of(48, true)}}},
    {"adam in one segment", of(1040, false), step({.segments = {{1040, 0.3f, 0.2f}}}), {.kernel = true, .bad = {of(1024, false)}}},
    {"adam of odd size in segments", of(35, true), step({.ema_decay = 0.5f, .segments = {{16, 0.5f, 0.1f}, {32, 1.0f, 0.2f}}}), {.bad = {of(17, true)}}},
    {"adam of odd size", of(17, true), step({.ema_decay = 0.5f})},
    {"adam of odd size without ema", of(3, false), step({})},
  });
}

}  // namespace

std::vector<OpCase> layer_op_cases() {
  std::vector<OpCase> rows;
  add_products(rows);
  add_linear(rows);
  add_batch_norm(rows);
  add_losses(rows);
  add_adam(rows);
  return rows;
}

}  // namespace ganforge::op_test
