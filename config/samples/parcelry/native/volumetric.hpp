#pragma once

#include <stdexcept>
#include <string>

namespace beltscale {

/// Cubic centimetres that count as one kilogram.
constexpr int kDivisorRoad = 5000;

/// Cubic centimetres that count as one kilogram in the air.
constexpr int kDivisorAir = 6000;

/// A box on the sorting belt, in centimetres.
struct BeltBox {
    int length;
    int width;
    int height;
};

/// A box that the belt cannot weigh.
class BeltRejection : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Something that turns a box into chargeable grams.
class Weigher {
public:
    virtual ~Weigher() = default;
    /// Weighs a box by its volume.
    virtual long weighBox(const BeltBox& box) const = 0;
};

/// Weighs boxes for lorries.
class RoadWeigher : public Weigher {
public:
    long weighBox(const BeltBox& box) const override;
};

/// Weighs boxes for aeroplanes.
class AirWeigher : public Weigher {
public:
    long weighBox(const BeltBox& box) const override;
};

/// Computes the volume of a box.
long boxVolume(const BeltBox& box);

/// Reads the name of the belt from the environment.
std::string beltName();

}  // namespace beltscale
