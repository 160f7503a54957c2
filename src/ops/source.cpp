// Sources: constants, counting, random numbers, batches, schedules. None has a gradient.
#include "kernels/map.h"
#include "kernels/random.h"
#include "src/ops/constant.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

class SourceOp : public Op {
 public:
  Values grad(const Values&, const Values&, const Values&) const override { return {}; }
};

void require_counter(const Type& type, const char* what) {
  require(type.dtype == DType::int64 && type.shape.rank() == 0,
          fmt::format("{} must be int64 [], got {}", what, type.str()));
}

class ConstantOp : public SourceOp {
 public:
  ConstantOp(double value, Type type) : value_(value), type_(std::move(type)) {}
  std::string describe() const override { return fmt::format("constant {} {}", value_, type_.str()); }
  Types infer(const Types&) const override { return {type_}; }
  bool once() const override { return true; }
  Kernel prepare(Device&, const Types&) const override {
    return make_kernel([value = value_, type = type_.dtype, n = type_.shape.elements()](
                           const auto& stream, const Call& call) { fill(stream, type, value, call.out[0], n); });
  }
  double value() const { return value_; }

 private:
  double value_;
  Type type_;
};

class IotaOp : public SourceOp {
 public:
  IotaOp(Type type, int axis) : type_(std::move(type)), axis_(axis) {}
  std::string describe() const override { return fmt::format("iota {} axis={}", type_.str(), axis_); }
  Types infer(const Types&) const override {
    require(type_.dtype == DType::int32 || is_float(type_.dtype), fmt::format("iota of type {}", type_.str()));
    return {type_};
  }
  bool once() const override { return true; }
  Kernel prepare(Device&, const Types&) const override {
    std::int64_t outer = 1, inner = 1;
    for (int a = 0; a < axis_; ++a) outer *= type_.shape[a];
    for (int a = axis_ + 1; a < type_.shape.rank(); ++a) inner *= type_.shape[a];
    return make_kernel([=, type = type_.dtype, extent = type_.shape[axis_]](const auto& stream, const Call& call) {
      iota(stream, type, call.out[0], outer, extent, inner);
    });
  }

 private:
  Type type_;
  int axis_;
};

class RandomOp : public SourceOp {
 public:
  enum class Kind { uniform, normal };
  /// a, b: low and high, or mean and standard deviation.
  RandomOp(Kind kind, std::uint64_t seed, int draw, Shape shape, float a, float b)
      : kind_(kind), seed_(seed), draw_(draw), shape_(std::move(shape)), a_(a), b_(b) {}
  std::string describe() const override {
    return fmt::format("{} {} a={} b={} seed={} draw={}", kind_ == Kind::uniform ? "uniform" : "normal", shape_.str(),
                       a_, b_, seed_, draw_);
  }
  Types infer(const Types& in) const override {
    require_counter(in[0], "tick");
    return {{DType::float32, shape_}};
  }
  Kernel prepare(Device&, const Types&) const override {
    const Draw draw{seed_, purpose_noise, static_cast<std::uint32_t>(draw_), 0};
    return make_kernel([=, kind = kind_, a = a_, b = b_, n = shape_.elements()](const auto& stream, const Call& call) {
      const std::int64_t* tick = call.template input<std::int64_t>(0);
      if (kind == Kind::uniform)
        uniform(stream, draw, tick, a, b, call.template output<float>(0), n);
      else
        normal(stream, draw, tick, a, b, call.template output<float>(0), n);
    });
  }

 private:
  Kind kind_;
  std::uint64_t seed_;
  int draw_;
  Shape shape_;
  float a_, b_;
};

/// cursor, data[, labels] → x[, labels], new cursor
class DrawBatchOp : public SourceOp {
 public:
  DrawBatchOp(std::int64_t rows, std::uint64_t seed, float scale, float shift)
      : rows_(rows), seed_(seed), scale_(scale), shift_(shift) {}
  std::string describe() const override {
    return fmt::format("draw_batch rows={} seed={} scale={} shift={}", rows_, seed_, scale_, shift_);
  }
  Types infer(const Types& in) const override {
    require_counter(in[0], "cursor");
    require((in[1].dtype == DType::uint8 || in[1].dtype == DType::float32) && in[1].shape.rank() >= 1,
            fmt::format("data must be uint8 or float32 [count, …], got {}", in[1].str()));
    require(in[1].shape[0] >= 1, "the data set is empty");
    Types out = {{DType::float32, in[1].shape.with(0, rows_)}};
    if (in.size() > 2) {
      require(in[2] == Type{DType::int32, {in[1].shape[0]}},
              fmt::format("labels must be int32 [{}], got {}", in[1].shape[0], in[2].str()));
      out.push_back({DType::int32, {rows_}});
    }
    out.push_back(in[0]);
    return out;
  }
  Kernel prepare(Device&, const Types& in) const override {
    DrawBatchArgs args{};
    args.count = in[1].shape[0];
    args.sample = in[1].shape.elements() / args.count;
    args.rows = rows_;
    args.scale = scale_;
    args.shift = shift_;
    args.seed = seed_;
    const bool labels = in.size() > 2, values = in[1].dtype == DType::float32;
    Kernel kernel = make_kernel([args, labels, values](const auto& stream, const Call& call) {
      DrawBatchArgs a = args;
      a.cursor = call.template input<std::int64_t>(0);
      if (values)
        a.values = call.template input<float>(1);
      else
        a.data = call.template input<std::uint8_t>(1);
      a.labels = labels ? call.template input<std::int32_t>(2) : nullptr;
      a.x = call.template output<float>(0);
      a.y = labels ? call.template output<std::int32_t>(1) : nullptr;
      a.new_cursor = call.template output<std::int64_t>(labels ? 2 : 1);
      a.ticket = static_cast<unsigned*>(call.persistent);
      draw_batch(stream, a);
    });
    kernel.persistent = sizeof(unsigned);
    return kernel;
  }

 private:
  std::int64_t rows_;
  std::uint64_t seed_;
  float scale_, shift_;
};

class ScheduleOp : public SourceOp {
 public:
  explicit ScheduleOp(std::vector<Schedule> schedules) : schedules_(std::move(schedules)) {}
  std::string describe() const override {
    std::string text = "schedule";
    for (const Schedule& s : schedules_) text += " " + ganforge::describe(s);
    return text;
  }
  Types infer(const Types& in) const override {
    require_counter(in[0], "tick");
    require(!schedules_.empty() && schedules_.size() <= max_schedules,
            fmt::format("1 to {} schedules, got {}", max_schedules, schedules_.size()));
    return Types(schedules_.size(), Type{DType::float32, {}});
  }
  Kernel prepare(Device&, const Types&) const override {
    return make_kernel([schedules = schedules_](const auto& stream, const Call& call) {
      float* values[max_schedules];
      for (std::size_t i = 0; i < schedules.size(); ++i) values[i] = call.template output<float>(static_cast<int>(i));
      schedule(stream, schedules.data(), static_cast<int>(schedules.size()), call.template input<std::int64_t>(0),
               values);
    });
  }

 private:
  std::vector<Schedule> schedules_;
};

}  // namespace

std::string describe(const Schedule& s) {
  constexpr const char* names[] = {"constant", "linear", "cosine", "step"};
  return fmt::format("{}{}({},{},{},{})", s.half_life ? "half-life " : "", names[static_cast<int>(s.kind)], s.from,
                     s.to, s.begin, s.end);
}

std::optional<double> constant_number(Value value) {
  const auto* op = dynamic_cast<const ConstantOp*>(value.graph().node(value.node()).op.get());
  return op ? std::optional(op->value()) : std::nullopt;
}

Value constant(Graph& graph, double value, Type type) {
  return graph.add(ConstantOp(value, std::move(type)), {})[0];
}
Value constant_like(Value x, double value) {
  return constant(x.graph(), value, x.type());
}
Value iota(Graph& graph, Type type, int axis) {
  const int normal = normal_axis(graph, "iota", axis, type.shape);
  return graph.add(IotaOp(std::move(type), normal), {})[0];
}

Value uniform(Value tick, std::uint64_t seed, int draw, const Shape& shape, float low, float high) {
  return tick.graph().add(RandomOp(RandomOp::Kind::uniform, seed, draw, shape, low, high), {tick})[0];
}
Value normal(Value tick, std::uint64_t seed, int draw, const Shape& shape, float mean, float stddev) {
  return tick.graph().add(RandomOp(RandomOp::Kind::normal, seed, draw, shape, mean, stddev), {tick})[0];
}

Batch draw_batch(Value cursor, Value data, Value labels, std::int64_t rows, std::uint64_t seed, float scale,
                 float shift) {
  Values in = {cursor, data};
  if (labels) in.push_back(labels);
  const Values out = cursor.graph().add(DrawBatchOp(rows, seed, scale, shift), in);
  return labels ? Batch{out[0], out[1], out[2]} : Batch{out[0], {}, out[1]};
}

Values schedule(Value tick, const std::vector<Schedule>& schedules) {
  return tick.graph().add(ScheduleOp(schedules), {tick});
}

}  // namespace ganforge
