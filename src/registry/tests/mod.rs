mod publish;
mod random;
mod register;
mod restart;
mod store;
mod subscribe;
mod tell;
