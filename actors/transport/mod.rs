//! Networks: real sockets and the memory network of simulations behind one type.
