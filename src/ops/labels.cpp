// What labels choose: rows of a table, and the number that cross-entropy is about. kernels/label_rows.h and
// kernels/cross_entropy.h have the contracts.
#include "kernels/cross_entropy.h"
#include "kernels/label_rows.h"
#include "src/ops/support.h"

#include <ganforge/labels.h>

namespace ganforge {
namespace {

void require_labels(const Type& type, std::int64_t rows) {
  require(type == Type{DType::int32, {rows}}, fmt::format("labels must be int32 [{}], got {}", rows, type.str()));
}

/// table [classes, width], labels [rows] → [rows, width]
class GatherRowsOp : public Op {
 public:
  std::string describe() const override { return "gather_rows"; }
  Types infer(const Types& in) const override {
    require_float(in[0], "the table");
    require(in[0].shape.rank() == 2 && in[0].shape[0] > 0,
            fmt::format("the table must be [classes, width], got {}", in[0].shape.str()));
    require(in[1].shape.rank() == 1, fmt::format("labels must be int32 [rows], got {}", in[1].str()));
    require_labels(in[1], in[1].shape[0]);
    return {{in[0].dtype, {in[1].shape[0], in[0].shape[1]}}};
  }
  Values expand(const Values& in) const override {
    return {matmul(one_hot(in[1], in[0].shape()[0], in[0].type().dtype), in[0])};
  }
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    return {scatter_add_rows(dout[0], in[1], in[0].shape()[0]), Value()};
  }
  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    GatherRowsArgs args{};
    args.rows = in[1].shape[0];
    args.classes = in[0].shape[0];
    args.width = in[0].shape[1];
    return make_kernel([args](const auto& stream, const Call& call) {
      GatherRowsArgs a = args;
      a.table = call.template input<float>(0);
      a.labels = call.template input<std::int32_t>(1);
      a.y = call.template output<float>(0);
      gather_rows(stream, a);
    });
  }
};

/// dy [rows, width], labels [rows] → [classes, width]
class ScatterAddRowsOp : public Op {
 public:
  explicit ScatterAddRowsOp(std::int64_t classes) : classes_(classes) {}
  std::string describe() const override { return fmt::format("scatter_add_rows classes={}", classes_); }
  Types infer(const Types& in) const override {
    require_float(in[0], "dy");
    require(in[0].shape.rank() == 2, fmt::format("dy must be [rows, width], got {}", in[0].shape.str()));
    require(classes_ > 0, "a table without rows");
    require_labels(in[1], in[0].shape[0]);
    return {{in[0].dtype, {classes_, in[0].shape[1]}}};
  }
  Values expand(const Values& in) const override {
    return {matmul(one_hot(in[1], classes_, in[0].type().dtype), in[0], true, false)};
  }
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    return {gather_rows(dout[0], in[1]), Value()};
  }
  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    ScatterAddRowsArgs args{};
    args.rows = in[0].shape[0];
    args.classes = classes_;
    args.width = in[0].shape[1];
    return make_kernel([args](const auto& stream, const Call& call) {
      ScatterAddRowsArgs a = args;
      a.dy = call.template input<float>(0);
      a.labels = call.template input<std::int32_t>(1);
      a.table = call.template output<float>(0);
      scatter_add_rows(stream, a);
    });
  }

 private:
  std::int64_t classes_;
};

/// logits [rows, classes], labels [rows] → loss, dlogits, accuracy
class CrossEntropyOp : public Op {
 public:
  std::string describe() const override { return "cross_entropy"; }
  Types infer(const Types& in) const override {
    require_float(in[0], "logits");
    require(in[0].shape.rank() == 2 && in[0].shape.elements() > 0,
            fmt::format("logits must be [rows, classes], got {}", in[0].shape.str()));
    require_labels(in[1], in[0].shape[0]);
    const Type scalar{in[0].dtype, {}};
    return {scalar, in[0], scalar};
  }
  Values expand(const Values& in) const override {
    const std::int64_t rows = in[0].shape()[0], classes = in[0].shape()[1];
    const double each = static_cast<double>(rows);
    const auto per_row = [&](Value v) { return reshape(v, {rows, 1}); };
    const Value wanted = one_hot(in[1], classes, in[0].type().dtype);
    const Value largest = stop_gradient(max(in[0], {1}));
    const Value x = in[0] - per_row(largest);
    const Value log_sum = log(sum(exp(x), {1}));
    const Value of_none = largest * affine(sum(wanted, {1}), -1, 1);
    const Value right = cast(equal(argmax(in[0], 1), in[1]), in[0].type().dtype);
    return {mean(log_sum - sum(x * wanted, {1}) + of_none), (exp(x - per_row(log_sum)) - wanted) / each, mean(right)};
  }
  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    for (std::size_t i = 0; i < dout.size(); ++i)
      if (static_cast<bool>(dout[i]) != (i == 0)) return Op::grad(in, out, dout);
    return {mul(out[1], broadcast(dout[0], out[1].shape())), Value()};
  }
  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    CrossEntropyArgs args{};
    args.rows = in[0].shape[0];
    args.classes = in[0].shape[1];
    return make_kernel([args](const auto& stream, const Call& call) {
      CrossEntropyArgs a = args;
      a.logits = call.template input<float>(0);
      a.labels = call.template input<std::int32_t>(1);
      a.loss = call.template output<float>(0);
      a.dlogits = call.template output<float>(1);
      a.accuracy = call.template output<float>(2);
      cross_entropy(stream, a);
    });
  }
};

}  // namespace

Value one_hot(Value labels, std::int64_t classes, DType type) {
  Graph& graph = labels.graph();
  require(graph, "one_hot", labels.type().dtype == DType::int32 && labels.shape().rank() == 1 && classes > 0,
          fmt::format("labels int32 [rows] and a class or more wanted, got {} and {}", labels.type().str(), classes));
  return cast(equal(reshape(labels, {-1, 1}), iota(graph, {DType::int32, {classes}}, 0)), type);
}

Value gather_rows(Value table, Value labels) {
  return table.graph().add(GatherRowsOp(), {table, labels})[0];
}

Value scatter_add_rows(Value dy, Value labels, std::int64_t classes) {
  return dy.graph().add(ScatterAddRowsOp(classes), {dy, labels})[0];
}

CrossEntropy cross_entropy(Value logits, Value labels) {
  const Values out = logits.graph().add(CrossEntropyOp(), {logits, labels});
  return {out[0], out[2]};
}

}  // namespace ganforge
