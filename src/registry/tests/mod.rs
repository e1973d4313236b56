mod publish;
mod register;
mod restart;
mod store;
mod subscribe;
mod tell;
