// Rows of ops that pass over tensors: elementwise functions, moves, reductions, pooling, resampling, norms of samples.
// Their size is that of dcgan-64's largest tensors.
#include "bench/op_bench.h"

#include <ganforge/augment.h>
#include <ganforge/gradient_norm.h>
#include <ganforge/ops.h>
#include <ganforge/spectral_norm.h>

#include <fmt/format.h>

namespace ganforge::bench {
namespace {

constexpr Activation leaky = {Activation::Kind::leaky_relu, 0.2f};

class Rows {
 public:
  Rows(std::vector<Row>& rows, const Shape& x) : rows_(rows), x_(x) {}

  /// y = f(operands of these shapes)
  template <class F>
  void add(const std::string& op, const std::vector<Shape>& shapes, F f) {
    rows_.push_back({name(op), [shapes, f](Graph& g, VariableStore&) { g.output("y", f(inputs(g, shapes))); }});
  }
  /// Its gradient in the first operand, by itself: a program without f's own kernel where that is not needed.
  template <class F>
  void add_with_gradient(const std::string& op, const std::vector<Shape>& shapes, F f) {
    add(op, shapes, f);
    rows_.push_back({name(op + "_grad"), [shapes, f](Graph& g, VariableStore&) {
                       const Values in = inputs(g, shapes);
                       const Value y = f(in);
                       g.output("dx", grad({y}, {g.input("dy", y.type())}, {in[0]})[0]);
                     }});
  }

 private:
  std::string name(const std::string& op) const {
    std::string size;
    for (int axis = 0; axis < x_.rank(); ++axis) size += (axis ? "x" : "") + std::to_string(x_[axis]);
    return op + "/all/" + size;
  }
  static Values inputs(Graph& g, const std::vector<Shape>& shapes) {
    Values in;
    for (std::size_t i = 0; i < shapes.size(); ++i)
      in.push_back(g.input(fmt::format("x{}", i), {DType::float32, shapes[i]}));
    return in;
  }

  std::vector<Row>& rows_;
  Shape x_;
};

}  // namespace

std::vector<Row> pass_rows(std::int64_t batch) {
  std::vector<Row> all;
  const Shape x{batch, 32, 32, 64}, channels{64};
  Rows rows(all, x);
  rows.add("tanh", {x}, [](const Values& in) { return tanh(in[0]); });
  rows.add("leaky_relu", {x}, [](const Values& in) { return leaky_relu(in[0], 0.2); });
  rows.add("act_grad", {x, x}, [](const Values& in) { return act_grad(in[0], in[1], leaky); });
  rows.add("add", {x, x}, [](const Values& in) { return in[0] + in[1]; });
  rows.add("add_row", {x, channels}, [](const Values& in) { return in[0] + in[1]; });
  rows.add("mul_scalar", {x, {}}, [](const Values& in) { return in[0] * in[1]; });
  rows.add("mul_sample", {x, {batch, 1, 1, 1}}, [](const Values& in) { return in[0] * in[1]; });
  rows.add("select", {x, x, x}, [](const Values& in) { return select(in[0], in[1], in[2]); });

  rows.add("sum", {x}, [](const Values& in) { return sum(in[0]); });
  rows.add("sum_rows", {x}, [](const Values& in) { return sum(in[0], {0, 1, 2}); });
  rows.add("sum_samples", {x}, [](const Values& in) { return sum(in[0], {1, 2, 3}); });
  rows.add("sum_channels", {x}, [](const Values& in) { return sum(in[0], {3}); });
  rows.add("sum_pixels", {x}, [](const Values& in) { return sum(in[0], {1, 2}); });
  rows.add("max_channels", {x}, [](const Values& in) { return max(in[0], {3}); });
  rows.add("argmax_channels", {x}, [](const Values& in) { return argmax(in[0], 3); });

  rows.add("copy", {x}, [](const Values& in) { return copy(in[0]); });
  rows.add("transpose", {x}, [](const Values& in) { return transpose(in[0], std::vector<int>{0, 3, 1, 2}); });
  rows.add("slice_channels", {x}, [](const Values& in) { return slice(in[0], 3, 16, 48); });
  rows.add("pad_pixels", {x}, [](const Values& in) {
    return pad(in[0], std::vector<Padding>{{}, {1, 1, 0}, {1, 1, 0}, {}});
  });
  rows.add("concat_channels", {x, x}, [](const Values& in) { return concat({in[0], in[1]}, 3); });
  rows.add("broadcast", {channels}, [x](const Values& in) { return broadcast(in[0], x); });
  rows.add("pixel_shuffle", {x}, [](const Values& in) { return pixel_shuffle(in[0], 2); });

  rows.add_with_gradient("avg_pool2d", {x}, [](const Values& in) { return avg_pool2d(in[0]); });
  rows.add_with_gradient("max_pool2d", {x}, [](const Values& in) { return max_pool2d(in[0]); });
  rows.add_with_gradient("upsample_nearest", {x}, [](const Values& in) { return upsample_nearest(in[0], 2); });
  rows.add_with_gradient("upsample_bilinear", {x}, [](const Values& in) { return upsample_bilinear(in[0], 2); });

  const std::vector<Shape> norm = {x, channels, channels};
  rows.add_with_gradient("group_norm", norm,
                         [](const Values& in) { return group_norm(in[0], 8, in[1], in[2], 1e-5f, leaky); });
  rows.add_with_gradient("instance_norm", norm,
                         [](const Values& in) { return instance_norm(in[0], in[1], in[2], 1e-5f, leaky); });
  rows.add_with_gradient("layer_norm", norm,
                         [](const Values& in) { return layer_norm(in[0], in[1], in[2], 1e-5f, leaky); });
  rows.add("batch_norm_inference", {x, channels, channels, channels, channels},
           [](const Values& in) { return batch_norm_inference(in[0], in[1], in[2], in[3], in[4], 1e-5f, leaky); });
  rows.add_with_gradient("dropout", {x}, [](const Values& in) {
    return dropout(in[0], 0.3f, constant(in[0].graph(), 1, {DType::int64, {}}), 1, 1);
  });

  const Shape image{batch, 64, 64, 3}, weight{512, 4096}, gradient{6'000'000};
  Rows(all, image).add_with_gradient("augment", {image, {batch, augment_numbers}, {}}, [](const Values& in) {
    return augment(in[0], in[1], in[2], {.color = true, .translation = true, .cutout = true});
  });
  Rows(all, weight).add("power_iteration", {weight, {512}}, [](const Values& in) {
    return power_iteration(in[0], in[1]).sigma;
  });
  Rows(all, weight).add_with_gradient("spectral_normalise", {weight, {512}, {4096}, {}}, [](const Values& in) {
    return spectral_normalise(in[0], {in[1], in[2], in[3]});
  });
  Rows(all, gradient).add("clip_scale", {gradient}, [](const Values& in) { return clip_scale(in[0], 1); });
  return all;
}

}  // namespace ganforge::bench
