public import Steering
