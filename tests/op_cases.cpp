// The table: one row, which is one line, per op and shape class. Here: elementwise functions, reductions, moves.
#include "tests/op_harness.h"

// clang-format off
namespace ganforge::op_test {
namespace {

const Activation no_act, relu_act{Activation::Kind::leaky_relu, 0.0f}, leaky_act{Activation::Kind::leaky_relu, 0.2f},
    tanh_act{Activation::Kind::tanh}, sigmoid_act{Activation::Kind::sigmoid};

/// One row per shape class; `like` says what the numbers are.
void add_unary(std::vector<OpCase>& rows, const std::string& name, Value (*f)(Value), const Input& like, const Options& options = {}) {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{17}, Shape{3, 5}, Shape{2, 3, 7}, Shape{2, 1, 5, 3}, Shape{1, 1}, Shape{129, 17}}) {
    Input input = like;
    input.type.shape = shape;
    Options o = options;
    o.bad = {{i32(shape, 0, 3)}};
    rows.push_back({name + " " + shape.str(), {input}, [f](const Values& in) { return Values{f(in[0])}; }, o});
  }
}

/// Broadcasting in every direction.
void add_binary(std::vector<OpCase>& rows, const std::string& name, Value (*f)(Value, Value), const Input& x_like, const Input& y_like,
                const Options& options = {}) {
  const std::pair<Shape, Shape> shapes[] = {{{}, {}}, {{17}, {17}}, {{3, 5}, {5}}, {{5}, {3, 5}}, {{3, 5}, {}}, {{}, {3, 5}}, {{3, 1}, {1, 5}},
                                            {{2, 3, 4}, {3, 1}}, {{4, 1, 3}, {2, 1}}, {{2, 1, 5, 3}, {2, 4, 1, 3}}, {{1, 1}, {1}}, {{129, 17}, {129, 1}},
                                            {{33, 65}, {33, 65}}};
  for (const auto& [x, y] : shapes) {
    Input x_input = x_like, y_input = y_like;
    x_input.type.shape = x;
    y_input.type.shape = y;
    Options o = options;
    o.bad = {{f32(3, 5), f32(4)}, {f32(2, 3), f32(3, 2)}, {f32(3), i32({3}, 0, 3)}};
    rows.push_back({name + " " + x.str() + " " + y.str(), {x_input, y_input}, [f](const Values& in) { return Values{f(in[0], in[1])}; }, o});
  }
}

void add_maps(std::vector<OpCase>& rows) {
  const Input any = f32(), positive = f32().in(0.3, 2), wide = f32().in(-6, 6);
  add_unary(rows, "neg", neg, any);
  add_unary(rows, "abs", abs, any);
  add_unary(rows, "exp", exp, wide);
  add_unary(rows, "log", log, positive);
  add_unary(rows, "sqrt", sqrt, positive);
  add_unary(rows, "recip", recip, positive);
  add_unary(rows, "square", square, wide);
  add_unary(rows, "tanh", tanh, wide);
  add_unary(rows, "sigmoid", sigmoid, wide);
  add_unary(rows, "softplus", softplus, wide);
  add_unary(rows, "sin", sin, wide);
  add_unary(rows, "cos", cos, wide);
  add_unary(rows, "relu", relu, any);
  add_unary(rows, "floor", floor, any, constant_by_parts);
  add_unary(rows, "sign", sign, any, constant_by_parts);
  add_unary(rows, "is_finite", is_finite, any, constant_by_parts);
  add_unary(rows, "leaky_relu", [](Value x) { return leaky_relu(x, 0.2); }, any);
  add_unary(rows, "leaky_slope", [](Value x) { return leaky_slope(x, 0.2); }, any, constant_by_parts);
  add_unary(rows, "pow 2.5", [](Value x) { return pow(x, 2.5); }, positive);
  add_unary(rows, "pow -1", [](Value x) { return pow(x, -1); }, positive);
  add_unary(rows, "pow 3", [](Value x) { return pow(x, 3); }, any);
  add_unary(rows, "pow 2", [](Value x) { return pow(x, 2); }, any);
  add_unary(rows, "affine", [](Value x) { return affine(x, -0.7, 0.3); }, any);
  add_unary(rows, "clamp", [](Value x) { return clamp(x, -0.52, 0.48); }, any);
  add_unary(rows, "tanh scaled", [](Value x) { return tanh(2.0 * x / 3.0 - 0.1) * 0.5 + 1.0; }, any);
  add_unary(rows, "activate leaky_relu", [](Value x) { return activate(x, leaky_act); }, any);
  add_unary(rows, "activate tanh", [](Value x) { return activate(x, tanh_act); }, any);
  add_unary(rows, "activate sigmoid", [](Value x) { return activate(x, sigmoid_act); }, any);
  add_binary(rows, "add", add, any, any);
  add_binary(rows, "sub", sub, any, any);
  add_binary(rows, "mul", mul, any, any);
  add_binary(rows, "div", div, any, positive);
  add_binary(rows, "minimum", minimum, any.distinct(), any.distinct());
  add_binary(rows, "maximum", maximum, any.distinct(), any.distinct());
  add_binary(rows, "less", less, any.distinct(), any.distinct(), constant_by_parts);
  add_binary(rows, "equal", equal, any.distinct(), any.distinct(), constant_by_parts);
  for (const auto& [name, act] : {std::pair{"relu", relu_act}, {"leaky_relu", leaky_act}, {"tanh", tanh_act}, {"sigmoid", sigmoid_act}})
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{17}, Shape{3, 5}, Shape{2, 1, 5, 3}, Shape{129, 17}}) {
      Input input = any;
      input.type.shape = shape;
      rows.push_back({std::string("act_grad ") + name + " " + shape.str(), {input, input}, [act](const Values& in) { return Values{act_grad(in[0], in[1], act)}; },
                      fused_bad(Inputs{f32(3, 5), f32(5)}, Inputs{f32(3), i32({3}, 0, 3)})});
    }
  rows.push_back({"act_grad of a constant", {f32(3, 5)}, [](const Values& in) { return Values{act_grad(constant_like(in[0], 0.5), in[0], tanh_act)}; }});
  rows.push_back({"act_grad of one value by itself", {f32(3, 5)}, [](const Values& in) { return Values{act_grad(in[0], in[0], tanh_act)}; }, fused});

  const auto select3 = [](const Values& in) { return Values{select(less(in[0], constant_like(in[0], 0)), in[1], in[2])}; };
  const Options wrong = bad(Inputs{f32(3), f32(4), f32(3)}, Inputs{f32(2, 3), f32(3), f32(2)}, Inputs{i32({3}, 0, 1), f32(3), f32(3)});
  rows.insert(rows.end(), {
    {"mul of one value with itself", {f32(3, 5)}, [](const Values& in) { return Values{mul(in[0], in[0])}; }},
    {"div of one value by itself and another", {f32(3, 5), f32(5)}, [](const Values& in) { return Values{in[0] / (in[0] * in[0] + in[1] * in[1] + 1.0)}; }},
    {"mul by a constant", {f32(3, 5)}, [](const Values& in) { return Values{in[0] * constant_like(in[0], 3) + constant(in[0].graph(), 2, {in[0].type().dtype, {2, 3, 5}})}; }},
    {"equal of labels", {i32({17, 1}, 0, 4), i32({5}, 0, 4)}, [](const Values& in) { return Values{equal(in[0], in[1])}; }, {.differentiable = false, .bad = {{i32({3}, 0, 1), f32(3)}, {i32({3}, 0, 1), i32({4}, 0, 1)}}}},
    {"equal of equal numbers", {f32(3, 5)}, [](const Values& in) { return Values{equal(in[0], in[0])}; }, constant_by_parts},
    {"select", {f32(3, 5), f32(3, 5), f32(3, 5)}, select3, wrong},
    {"select of scalars", {f32(), f32(), f32()}, select3, wrong},
    {"select by a row", {f32(5), f32(3, 5), f32(3, 5)}, select3, wrong},
    {"select of a row and a column", {f32(2, 3, 5), f32(5), f32(3, 1)}, select3, wrong},
    {"select stretched by its operands", {f32(3, 1), f32(), f32(2, 1, 1, 5)}, select3, wrong},
    {"select from one value", {f32(4, 3), f32(4, 3)}, [](const Values& in) { return Values{select(in[0], in[1], in[1])}; }},
  });
}

void add_reductions(std::vector<OpCase>& rows) {
  const auto sum_over = [](std::vector<int> axes) { return [axes](const Values& in) { return Values{sum(in[0], axes)}; }; };
  const auto to = [](Shape shape) { return [shape](const Values& in) { return Values{broadcast(in[0], shape)}; }; };
  const auto back = [](Shape shape) { return [shape](const Values& in) { return Values{sum_to(in[0], shape)}; }; };
  const auto max_over = [](std::vector<int> axes) {
    return [axes](const Values& in) {
      if (axes.size() == 1) return Values{max(in[0], {axes[0]})};
      return Values{max(in[0], {axes[0], axes[1]})};
    };
  };
  const auto argmax_along = [](int axis) { return [axis](const Values& in) { return Values{argmax(in[0], axis)}; }; };
  const Options none_of_two = bad(Inputs{f32(5)}, Inputs{f32()}), no_gradient{.differentiable = false, .bad = {{f32()}, {f32(0)}}};
  rows.insert(rows.end(), {
    {"sum of everything", {f32(3, 5)}, [](const Values& in) { return Values{sum(in[0])}; }, bad(Inputs{i32({3}, 0, 1)})},
    {"sum of a scalar", {f32()}, [](const Values& in) { return Values{sum(in[0])}; }},
    {"sum of many", {f32(129, 100)}, [](const Values& in) { return Values{sum(in[0])}; }},
    {"sum of the last axis", {f32(17, 33)}, sum_over({-1}), bad(Inputs{f32()}, Inputs{i32({3, 3}, 0, 1)})},
    {"sum of the first axis", {f32(17, 33)}, sum_over({0})},
    {"sum of the middle axis", {f32(3, 17, 5)}, sum_over({1}), none_of_two},
    {"sum of the outer axes", {f32(3, 4, 5)}, sum_over({0, -1}), bad(Inputs{f32(5)}, Inputs{f32()})},
    {"sum of two of four axes", {f32(2, 3, 4, 5)}, sum_over({2, 0}), none_of_two},
    {"sum of an axis of one", {f32(3, 1, 5)}, sum_over({1})},
    {"sum of no axes", {f32(3, 5)}, sum_over({})},
    {"sum of nothing", {f32(3, 0)}, [](const Values& in) { return Values{sum(in[0], {1}) + sum(in[0])}; }},
    {"mean", {f32(3, 5)}, [](const Values& in) { return Values{mean(in[0]), mean(in[0], {0}), mean(in[0], {1, 0})}; }},
    {"max of the last axis", {f32(17, 33).distinct()}, max_over({-1}), bad(Inputs{f32()}, Inputs{f32(3, 0)}, Inputs{i32({3, 3}, 0, 1)})},
    {"max of the first axis", {f32(17, 5).distinct()}, max_over({0})},
    {"max of two axes", {f32(2, 3, 4).distinct()}, max_over({2, 0}), bad(Inputs{f32(3, 5)})},
    {"max of the middle axis", {f32(2, 3, 4, 5).distinct()}, max_over({1})},
    {"argmax of the last axis", {f32(17, 33)}, argmax_along(-1), no_gradient},
    {"argmax of the first axis", {f32(33, 17)}, argmax_along(0), no_gradient},
    {"argmax of the middle axis", {f32(3, 17, 5)}, argmax_along(1), {.differentiable = false, .bad = {{f32(3)}}}},
    {"argmax of one", {f32(1)}, argmax_along(0), no_gradient},
    {"broadcast of a scalar", {f32()}, to({3, 5})},
    {"broadcast of a row", {f32(5)}, to({3, 5}), bad(Inputs{f32(4)}, Inputs{f32(1, 1, 1)}, Inputs{f32(2, 5)})},
    {"broadcast of a column", {f32(17, 1)}, to({17, 33})},
    {"broadcast inside", {f32(3, 1, 4)}, to({2, 3, 5, 4})},
    {"broadcast on both sides", {f32(1, 7, 1)}, to({3, 7, 5})},
    {"broadcast of nothing", {f32(1, 3)}, to({0, 3})},
    {"broadcast of labels", {i32({3, 1}, 0, 9)}, to({3, 4}), constant_by_parts},
    {"broadcast of a constant", {f32(3, 4)}, [](const Values& in) { return Values{in[0] * broadcast(constant(in[0].graph(), 2, {in[0].type().dtype, {4}}), {3, 4})}; }},
    {"sum_to of a row", {f32(3, 5)}, back({5}), bad(Inputs{f32(3, 4)})},
    {"sum_to of a column", {f32(17, 33)}, back({17, 1})},
    {"sum_to of a scalar", {f32(2, 3, 5)}, back({})},
    {"sum_to inside", {f32(2, 3, 5, 4)}, back({3, 1, 4}), bad(Inputs{f32(3, 5, 3)})},
  });
}

void add_moves(std::vector<OpCase>& rows) {
  const auto reshape_to = [](std::vector<std::int64_t> extents) { return [extents](const Values& in) { return Values{reshape(in[0], extents) * 2.0}; }; };
  const auto permute = [](std::vector<int> permutation) { return [permutation](const Values& in) { return Values{transpose(in[0], permutation)}; }; };
  const auto cut = [](std::vector<Slice> slices) { return [slices](const Values& in) { return Values{slice(in[0], slices)}; }; };
  const auto axis_cut = [](int axis, std::int64_t begin, std::int64_t end, std::int64_t step) {
    return [=](const Values& in) { return Values{slice(in[0], axis, begin, end, step)}; };
  };
  const auto pad_by = [](std::vector<Padding> padding) { return [padding](const Values& in) { return Values{pad(in[0], padding)}; }; };
  const auto join = [](int axis) { return [axis](const Values& in) { return Values{concat(in, axis)}; }; };
  const auto join_aligned = [](std::int64_t align, std::int64_t extent) {
    return [=](const Values& in) { return Values{concat_aligned({square(in[0]), in[1], neg(in[0])}, align, extent)}; };
  };
  const Options labels = constant_by_parts;
  rows.insert(rows.end(), {
    {"reshape", {f32(3, 4)}, reshape_to({2, 6}), bad(Inputs{f32(3, 5)}, Inputs{f32()})},
    {"reshape with one extent open", {f32(3, 4, 5)}, reshape_to({4, -1}), bad(Inputs{f32(3, 5)})},
    {"reshape of a scalar", {f32()}, reshape_to({1, 1}), bad(Inputs{f32(3)})},
    {"reshape to a scalar", {f32(1, 1)}, reshape_to({}), bad(Inputs{f32(3)})},
    {"reshape twice and back", {f32(3, 4)}, [](const Values& in) { return Values{reshape(reshape(reshape(in[0], {2, 6}), {12}), {3, 4}) * in[0], reshape(in[0], {4, 3})}; }},
    {"reshape of labels", {i32({3, 4}, 0, 9)}, [](const Values& in) { return Values{reshape(in[0], {12})}; }, labels},
    {"transpose", {f32(17, 33)}, [](const Values& in) { return Values{transpose(in[0])}; }, bad(Inputs{f32(3)}, Inputs{f32()})},
    {"transpose of a batch", {f32(2, 3, 5)}, [](const Values& in) { return Values{transpose(in[0])}; }},
    {"transpose [2,0,1]", {f32(3, 4, 5)}, permute({2, 0, 1}), bad(Inputs{f32(3, 4)}, Inputs{f32(3, 4, 5, 6)})},
    {"transpose [0,3,1,2]", {f32(2, 3, 4, 5)}, permute({0, 3, 1, 2})},
    {"transpose [1,0,3,2]", {f32(2, 3, 4, 5)}, permute({1, 0, 3, 2})},
    {"transpose [0,1]", {f32(3, 4)}, permute({0, 1})},
    {"transpose of labels", {i32({3, 4}, 0, 9)}, permute({1, 0}), labels},
    {"slice of the first axis", {f32(64, 5)}, axis_cut(0, 16, 48, 1), bad(Inputs{f32(20, 5)}, Inputs{f32()})},
    {"slice off 64 bytes", {f32(9, 5)}, axis_cut(0, 2, 7, 1), bad(Inputs{f32(6, 5)})},
    {"slice of the last axis", {f32(3, 9)}, axis_cut(-1, 2, 7, 1)},
    {"slice with a step", {f32(10, 3)}, axis_cut(0, 1, 9, 3)},
    {"slice with a step, inside", {f32(2, 10, 3)}, axis_cut(1, 0, 10, 4), bad(Inputs{f32(10)}, Inputs{f32(2, 9, 3)})},
    {"slice of one", {f32(5, 4)}, axis_cut(0, 4, 5, 1)},
    {"slice of nothing", {f32(5, 4)}, axis_cut(0, 3, 3, 1)},
    {"slice of all axes", {f32(5, 6, 7)}, cut({{1, 4, 1}, {0, 6, 2}, {3, 7, 3}}), bad(Inputs{f32(5, 6)}, Inputs{f32(3, 6, 7)})},
    {"slice of an axis of one", {f32(1, 40)}, cut({{0, 1, 1}, {16, 35, 1}})},
    {"slice of labels", {i32({20}, 0, 9)}, axis_cut(0, 3, 19, 2), labels},
    {"pad of a vector", {f32(5)}, pad_by({{2, 3, 0}}), bad(Inputs{f32(3, 5)}, Inputs{f32()})},
    {"pad of all axes", {f32(2, 3, 4)}, pad_by({{1, 0, 0}, {0, 2, 1}, {3, 1, 2}})},
    {"pad inside", {f32(7, 3)}, pad_by({{0, 0, 1}, {0, 0, 0}})},
    {"pad of one with interior", {f32(1, 3)}, pad_by({{0, 0, 5}, {1, 1, 0}})},
    {"pad of nothing", {f32(0, 3)}, pad_by({{2, 1, 4}, {0, 0, 0}})},
    {"pad by nothing", {f32(2, 3)}, pad_by({{}, {}})},
    {"pad of labels", {i32({3}, 1, 9)}, pad_by({{1, 1, 1}}), labels},
    {"concat of rows", {f32(16, 4), f32(8, 4)}, join(0), bad(Inputs{f32(3, 4), f32(3, 5)}, Inputs{f32(3), f32(3, 3)}, Inputs{f32(3), i32({3}, 0, 1)}, Inputs{f32(), f32()})},
    {"concat of columns", {f32(3, 4), f32(3, 1), f32(3, 6)}, join(-1), bad(Inputs{f32(3, 4), f32(2, 4)})},
    {"concat inside", {f32(2, 3, 4), f32(2, 1, 4)}, join(1)},
    {"concat below axes of one", {f32(1, 16), f32(1, 32)}, join(1)},
    {"concat of odd rows", {f32(3, 5), f32(2, 5), f32(1, 5)}, join(0)},
    {"concat with nothing", {f32(3, 5), f32(0, 5), f32(2, 5)}, join(0)},
    {"concat of one", {f32(3, 5)}, join(0)},
    {"concat of results", {f32(16, 4), f32(16, 4)}, [](const Values& in) { const Value a = tanh(in[0]), b = exp(in[1]); return Values{square(concat({a, b, a}, 0)), concat({b, a}, 0)}; }},
    {"concat of labels", {i32({3}, 0, 9), i32({5}, 0, 9)}, join(0), labels},
    {"concat_aligned", {f32(5), f32(16)}, join_aligned(16, 0), bad(Inputs{f32(5, 1), f32(5, 1)})},
    {"concat_aligned with a tail", {f32(20), f32(3)}, join_aligned(16, 100), bad(Inputs{f32(40), f32(40)})},
    {"concat_aligned of one", {f32(5)}, [](const Values& in) { return Values{concat_aligned({in[0]}, 16)}; }},
    {"split", {f32(12, 5)}, [](const Values& in) { return split(in[0], 3); }, bad(Inputs{f32(5, 3)}, Inputs{f32()})},
    {"split of odd parts", {f32(6, 5)}, [](const Values& in) { const Values part = split(in[0], 2); return Values{part[0] * part[1]}; }},
    {"alias, copy", {f32(3, 5)}, [](const Values& in) { return Values{alias(in[0]) * copy(in[0])}; }},
    {"alias of one value twice", {f32(3, 5)}, [](const Values& in) { const Value a = alias(in[0]); return Values{a * alias(a), alias(a)}; }},
    {"stop_gradient", {f32(3, 5)}, [](const Values& in) { return Values{stop_gradient(in[0])}; }, constant_by_parts},
    {"cast to the same type", {f32(3, 5)}, [](const Values& in) { return Values{cast(in[0], in[0].type().dtype)}; }},
    {"cast of labels", {i32({17}, -9, 9), f32(17)}, [](const Values& in) { return Values{cast(in[0], in[1].type().dtype) * in[1]}; }},
    {"cast to integers", {f32(17).in(-9, 9)}, [](const Values& in) { return Values{cast(in[0], DType::int32)}; }, constant_by_parts},
  });
}

}  // namespace

std::vector<OpCase> op_cases() {
  std::vector<OpCase> rows;
  add_maps(rows);
  add_reductions(rows);
  add_moves(rows);
  for (const OpCase& row : layer_op_cases()) rows.push_back(row);
  for (const OpCase& row : conv_op_cases()) rows.push_back(row);
  for (const OpCase& row : image_op_cases()) rows.push_back(row);
  return rows;
}

}  // namespace ganforge::op_test
